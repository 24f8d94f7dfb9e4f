"""Errors of checkpoints."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: missing, damaged, unsafe, or of another model."""
