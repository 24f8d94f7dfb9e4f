"""How good an anomaly score is, measured as the public benchmarks measure it."""
