"""Converts checkpoints to safetensors, which cannot hold code and loads fast."""

from __future__ import annotations

from pathlib import Path

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.names import canonical, owner
from objectomaly_ros.checkpoints.reading import MATCH_ENDS, read_content
from objectomaly_ros.files.writing import replacing


def convert(source: Path, target: Path) -> str:
    """Convert a checkpoint to safetensors, tensors under canonical names, bit for bit.

    Args:
        source: .pth, .pkl or .safetensors.
        target: the file to write; must not exist.

    Returns:
        what was written, in words.

    Raises:
        CheckpointError: the source cannot be read, or the target exists.
        OSError: the target cannot be written; nothing is left behind.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    if target.exists():
        raise CheckpointError(f"{target} exists; remove it or choose another name")
    content = read_content(source)
    said = {MATCH_ENDS: "true"} if content.match_ends else {}
    # safetensors refuses tensors that share memory, such as slices of one array.
    tensors = {name: t.contiguous().clone() for name, t in canonical(content.tensors).items()}
    try:
        with replacing(target) as temporary:
            save_file(tensors, temporary, {"format": "pt", "converted_from": source.name, **said})
    except SafetensorError as error:  # for a full disk, too
        raise OSError(f"cannot write {target}: {error}") from error
    return f"{target}: {len(tensors)} tensors of {owner(tensors)}"
