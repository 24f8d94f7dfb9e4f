"""The command `objectomaly`."""
