"""Checks of ONNX models before a runtime sees them: no files elsewhere, no operators of others.

Weights of an ONNX model may lie in files beside it. ONNX Runtime up to 1.22 follows any path to
them. The model is walked in its protobuf encoding, so that the check needs no package.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from objectomaly_ros.checkpoints.errors import CheckpointError

# Message -> field number -> message in it, of onnx.proto; leaves are the fields that are checked.
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 10: "own domain", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute", 7: "domain"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {1: "key", 2: "value"},
}
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}


def check_onnx(path: Path) -> None:
    """Raise unless the weights lie in the model's folder and its operators are ONNX's own.

    Raises:
        CheckpointError: it refers to a file elsewhere, or to operators of another domain.
        ValueError: it is no ONNX model.
    """
    domains, own_domains = set(), set(_DOMAINS)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        messages = [("model", 0, len(data))]
        while messages:
            message, start, end = messages.pop()
            texts: list[tuple[str, str]] = []
            for number, begin, stop in _parts(data, start, end):
                kind = _FIELDS[message].get(number, "")
                if kind in _FIELDS:
                    messages.append((kind, begin, stop))
                elif kind:
                    texts.append((kind, data[begin:stop].decode()))
            domains |= {text for kind, text in texts if kind == "domain"}
            own_domains |= {text for kind, text in texts if kind == "own domain"}
            if ("key", "location") in texts:  # before or after its value
                for location in (text for kind, text in texts if kind == "value"):
                    _check_location(path, location)
    for domain in sorted(domains - own_domains):
        raise CheckpointError(
            f"{path} is refused: it needs operators of {domain!r}; export it with ONNX's own alone"
        )


def _check_location(path: Path, location: str) -> None:
    folder = path.parent.resolve()
    target = (folder / location).resolve()
    if not target.is_relative_to(folder) or ".." in Path(location).parts:
        raise CheckpointError(
            f"{path} is refused: its weights lie in {location!r}, outside of its folder"
        )
    if not target.is_file():
        raise CheckpointError(f"{path} needs its weights, {location!r}, in its folder")


def _parts(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of each field with a length in a message."""
    while at < end:
        tag, at = _varint(data, at, end)
        kind = tag & 7
        size = {0: 0, 1: 8, 5: 4}.get(kind, -1)
        if kind in (0, 2):
            value, at = _varint(data, at, end)
            size = value if kind == 2 else 0
        if size < 0 or at + size > end:
            raise ValueError(f"it is damaged at byte {at}")
        if kind == 2:
            yield tag >> 3, at, at + size
        at += size


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise ValueError(f"it is damaged at byte {at}")
