"""Reads files that somebody else made: regular files only, and no more of them than a limit."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def regular_file(path: str | os.PathLike[str]) -> Path:
    """Return the path if it is that of a file: opening a named pipe or a device may hang.

    Raises:
        OSError: there is nothing at `path`, or something else than a regular file.
    """
    path = Path(path)
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "no regular file")
        raise OSError(f"cannot read {path}: it is {kind}; give a regular file")
    return path


def read_bytes(path: str | os.PathLike[str], limit: int) -> bytes:
    """Read a file of at most `limit` bytes.

    Raises:
        OSError: as of `regular_file`, or the file cannot be read.
        ValueError: it is larger.
    """
    path = regular_file(path)
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        size = max(path.stat().st_size, len(data))
        raise ValueError(f"cannot read {path}: it has {size} bytes; the limit is {limit}")
    return data
