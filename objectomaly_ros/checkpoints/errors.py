"""Errors of checkpoints."""

from __future__ import annotations

from objectomaly_ros.files.reading import printable


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: missing, damaged, unsafe, or of another model."""

    def __str__(self) -> str:
        return printable(super().__str__())  # it may hold names of the file
