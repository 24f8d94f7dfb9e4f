"""What goes wrong with checkpoints, said so that the reader knows what to do."""


class CheckpointError(ValueError):
    """A checkpoint file that cannot be used: missing, damaged, unsafe, or of another detector."""
