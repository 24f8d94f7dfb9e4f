"""What `make demo` runs: a drive replayed through the real node, and pictures of what it found."""
