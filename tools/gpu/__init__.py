"""`make gpu`: proves and measures everything on a CUDA machine, in ten minutes."""
