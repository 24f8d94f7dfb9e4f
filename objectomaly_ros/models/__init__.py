"""What detectors and mask generators share: lookup by name, devices, stage timing."""
