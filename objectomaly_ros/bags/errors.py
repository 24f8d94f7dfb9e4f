"""What goes wrong with bags and folders of frames, in words for the person who gave them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from objectomaly_ros.files.reading import printable


class BagError(Exception):
    """A bag, topic or folder of frames cannot be used; the message says why and what to do."""

    def __str__(self) -> str:
        return printable(super().__str__())  # it may hold names of the bag


def list_names(files: Sequence[Path]) -> str:
    """Return what a folder holds, in a few words."""
    names = ", ".join(file.name for file in files[:5])
    return names + (", ..." if len(files) > 5 else "") if names else "nothing"
