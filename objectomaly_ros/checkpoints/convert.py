"""Writes the tensors of any checkpoint as safetensors, which cannot hold code and loads fast."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.names import canonical, owner
from objectomaly_ros.checkpoints.reading import MATCH_ENDS, read_content


def convert(source: Path, target: Path) -> str:
    """Convert a checkpoint to safetensors, tensors under canonical names, bit for bit.

    Args:
        source: .pth, .pkl or .safetensors.
        target: the file to write; must not exist.

    Returns:
        In words, what was written.

    Raises:
        CheckpointError: the source cannot be read, the target exists, or the disk is full; then
            nothing is left behind.
    """
    from safetensors.torch import save_file

    if target.exists():
        raise CheckpointError(f"{target} exists; remove it or choose another name")
    content = read_content(source)
    said = {MATCH_ENDS: "true"} if content.match_ends else {}
    # Clones: safetensors refuses tensors that share memory, as slices of one array do.
    tensors = {name: t.contiguous().clone() for name, t in canonical(content.tensors).items()}
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, part, {"format": "pt", "converted_from": source.name, **said})
        shutil.copymode(source, part)  # the library's own files only their owner may read
        part.replace(target)
    except Exception as error:  # safetensors raises an error class of its own for a full disk
        full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
        raise CheckpointError(
            f"the disk of {target.parent} is full; nothing was left behind"
            if full
            else f"cannot write {target}: {error}"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return f"{target}: {len(tensors)} tensors of {owner(tensors)}"
