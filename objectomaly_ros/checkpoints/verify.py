"""Checks a file against its published size and hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.table import Checkpoint
from objectomaly_ros.files.reading import regular_file

_BLOCK = 1 << 22


def verify(path: Path, checkpoint: Checkpoint) -> str:
    """Compare a file's size and hash with the published ones.

    Args:
        path: of the file at the checkpoint's `url`.
        checkpoint: what it should be.

    Returns:
        what matches, in words.

    Raises:
        CheckpointError: size or hash differ; the message has both values.
        OSError: it cannot be read, or is no regular file.
    """
    size = regular_file(path).stat().st_size
    if checkpoint.size is not None and size != checkpoint.size:
        broken = "a download that broke off? " if size < checkpoint.size else ""
        raise CheckpointError(
            f"{path} has {size:,} bytes, {checkpoint.name} has {checkpoint.size:,}: {broken}"
            "remove it and download it again"
        )
    if checkpoint.sha256 is None and checkpoint.md5_start is None:
        return "no hash is published" if checkpoint.size is None else "size matches"
    sha256, md5 = _hashes(path)
    for kind, found, expected in (
        ("SHA-256", sha256, checkpoint.sha256),
        ("MD5", md5, checkpoint.md5_start),
    ):
        if expected is not None and not found.startswith(expected):
            raise CheckpointError(
                f"{path} is not {checkpoint.name}: its {kind} is {found}, the published one "
                f"{'is' if len(expected) > 6 else 'begins with'} {expected}"
            )
    return "SHA-256 matches" if checkpoint.sha256 else "the MD5's beginning matches"


def _hashes(path: Path) -> tuple[str, str]:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            sha256.update(block)
            md5.update(block)
    return sha256.hexdigest(), md5.hexdigest()
