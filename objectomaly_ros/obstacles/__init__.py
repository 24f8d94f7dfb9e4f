"""From a score to obstacles: threshold, components, region of interest, stable ids."""
