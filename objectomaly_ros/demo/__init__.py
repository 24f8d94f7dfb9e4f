"""The demo: a drive replayed through the real node, and pictures of the results."""
