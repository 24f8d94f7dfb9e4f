"""Reads the tensors of a checkpoint, whatever its container, without running its code."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.pickles import (
    NUMPY,
    PickledArray,
    check_effort,
    read_array_pickle,
)

_ZIP = b"PK\x03\x04"
# The first object of the format that torch.save wrote before version 1.6.
_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_SLACK = 1 << 20
_WRAPPERS = ("model", "model_state", "state_dict")
MATCH_ENDS = "matching_heuristics"  # detectron2's name for it


@dataclass(frozen=True)
class Content:
    """What a checkpoint file holds.

    Attributes:
        tensors: name -> tensor, on the CPU, names and dtypes as stored.
        match_ends: its names are ends of the network's names, see `names.by_their_ends`.
    """

    tensors: dict[str, torch.Tensor]
    match_ends: bool


def read_tensors(path: str | Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a checkpoint by name; see `read_content`."""
    return read_content(path).tensors


def read_content(path: str | Path) -> Content:
    """Read the tensors of a checkpoint.

    Its content tells the format: `torch.save` (both), detectron2's `.pkl` of numpy arrays, or
    safetensors. Tensors are looked for under `model`, `model_state` and `state_dict`, in this
    order; everything else (optimizer, iteration, author) is left out.

    Raises:
        CheckpointError: there is no such file, it is truncated or no checkpoint, claims more than
            its size, or asks for code (which has not run).
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; name the checkpoint file in it")
    if not path.is_file():
        raise CheckpointError(
            f"no checkpoint at {path}; `objectomaly checkpoints list` says where each one comes "
            "from"
        )
    content = _read(path)
    tensors = _tensors_of(_peel(content), path)
    if not tensors:
        raise CheckpointError(
            f"{path} can be read, but holds no tensors (also looked under {', '.join(_WRAPPERS)})"
        )
    return Content(tensors, isinstance(content, dict) and bool(content.get(MATCH_ENDS, False)))


def _read(path: Path) -> Any:
    with path.open("rb") as file:
        head = file.read(64)
        if head.startswith((_ZIP, _LEGACY_TORCH)):
            return _read_torch(path)
        if _looks_like_safetensors(head):
            return _read_safetensors(path)
        if head[:1] == b"\x80":
            file.seek(0)
            return read_array_pickle(file, path)
    raise CheckpointError(f"{path} is not a checkpoint: {_what_it_is(head)}")


def _what_it_is(head: bytes) -> str:
    if not head:
        return "the file is empty"
    if head.lstrip()[:1] == b"<":
        return "it is a web page (a login or quota page in the file's place?). Download it again."
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; `git lfs pull` fetches the file itself"
    return f"it begins with {head[:8]!r}; expected a .pth, a detectron2 .pkl or a .safetensors"


def _read_torch(path: Path) -> Any:
    stand_ins: list[Any] = [(known, ".".join(name)) for name, known in NUMPY.items()]
    try:
        archived = zipfile.is_zipfile(path)  # which raises on archives of several volumes
        if archived:
            _check_archive(path)
        else:
            with path.open("rb") as file:
                if file.read(4) == _ZIP:
                    raise zipfile.BadZipFile("the archive has no directory")
                file.seek(0)
                for _ in range(5):  # magic number, version, system, content, names of storages
                    check_effort(file)
        with torch.serialization.safe_globals(stand_ins):
            # Mapped, the optimizer's state takes no memory: often two thirds of the file.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=archived)
    except CheckpointError:
        raise
    except UnpicklingError as error:
        asked, reason = re.search(r"GLOBAL (\S+)", str(error)), _first_line(error)
        if asked:
            reason = f"it asks for {asked[1]}"
        elif "weights only" in reason.lower():  # torch advises to load it without these checks
            reason = "it holds other instructions"
        raise CheckpointError(
            f"{path} is refused: {reason}, which plain weights never need. Files that run code on "
            "loading are not loaded; get the official file, or save its state dict alone with "
            "torch.save on a machine you can throw away."
        ) from error
    except Exception as error:  # a damaged file fails in any way it likes
        raise CheckpointError(
            f"{path} is truncated or damaged ({path.stat().st_size:,} bytes: "
            f"{_first_line(error)}). Download it again; `objectomaly checkpoints verify` checks a "
            "file."
        ) from error


def _check_archive(path: Path) -> None:
    """Raise unless an archive holds weights as `torch.save` writes them."""
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        contents = [name for name in members if name.endswith("data.pkl")]
        inner = [name for name in members if name.endswith((".pth", ".pkl", ".pt", ".safetensors"))]
        if inner and not contents:
            raise CheckpointError(
                f"{path} is an archive that holds {', '.join(inner)}: unpack it and name that file"
            )
        if any("/code/" in name for name in members):
            raise CheckpointError(
                f"{path} is a TorchScript program, not weights; the detector `semantic` runs such "
                "files"
            )
        for name, member in members.items():
            if member.compress_type != zipfile.ZIP_STORED:
                raise CheckpointError(
                    f"{path} is refused: {name} in it is compressed, and torch.save compresses "
                    "nothing; get the official file"
                )
        for name in contents:
            check_effort(io.BytesIO(archive.read(name)))


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _looks_like_safetensors(head: bytes) -> bool:
    if len(head) < 9 or head[8:9] != b"{":
        return False
    return bool(0 < struct.unpack("<Q", head[:8])[0] <= 100_000_000)


def _read_safetensors(path: Path) -> Any:
    try:
        from safetensors import safe_open
        from safetensors.torch import load_file
    except ImportError as error:
        raise CheckpointError(
            f"{path} is a safetensors file; `pip install safetensors` reads it"
        ) from error
    try:
        with safe_open(path, "pt") as file:
            said = file.metadata() or {}
        return {"model": load_file(path), MATCH_ENDS: MATCH_ENDS in said}
    except Exception as error:  # the library has its own error class, raised from Rust
        raise CheckpointError(
            f"{path} is a truncated or damaged safetensors file: {error}"
        ) from error


def _peel(content: Any) -> Any:
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    return content


def _tensors_of(content: Any, path: Path) -> dict[str, torch.Tensor]:
    if not isinstance(content, Mapping):
        return {}
    values: dict[str, Any] = {
        str(name): value.array if isinstance(value, PickledArray) else value
        for name, value in content.items()
    }
    arrays = {
        name: value
        for name, value in values.items()
        if isinstance(value, torch.Tensor)
        or (isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "fiub")
    }
    # Tensors may share memory, or repeat one number a million times.
    claimed, size = sum(value.nbytes for value in arrays.values()), path.stat().st_size
    if claimed > 2 * size + _SLACK:
        raise CheckpointError(
            f"{path} is refused: it has {size:,} bytes, and its tensors claim {claimed:,}"
        )
    return {
        name: value.detach()
        if isinstance(value, torch.Tensor)
        else torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))
        for name, value in arrays.items()
    }
