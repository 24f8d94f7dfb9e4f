"""Published checkpoints: where they are, how to get them, and how to read them safely."""
