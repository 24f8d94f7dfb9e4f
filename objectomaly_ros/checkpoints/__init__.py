"""Checkpoints: the table of published ones, downloads, and reading without running code."""
