"""What `objectomaly benchmark` measures."""
