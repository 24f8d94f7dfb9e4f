"""Common to detectors and mask generators: lookup by name, devices, stage timing."""
