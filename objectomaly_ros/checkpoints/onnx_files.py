"""Checks of ONNX models before a runtime sees them: no files elsewhere, no loops.

Weights of an ONNX model may lie in files beside it. ONNX Runtime up to 1.22 follows any path to
them. Loops may run without an end, and functions that call each other twice multiply. The model is
walked in its protobuf encoding, so that the check needs no package.
"""

from __future__ import annotations

import mmap
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from objectomaly_ros.checkpoints.errors import CheckpointError

# Message -> field number -> message in it, of onnx.proto; leaves are the fields that are checked.
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {1: "name", 7: "node", 10: "domain", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {4: "name", 5: "attribute", 7: "domain"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {1: "key", 2: "value"},
}
_Name = tuple[str, str]  # domain and name of an operator or function
_MODEL: _Name = ("", "")
_DOMAINS = {"", "ai.onnx.ml", "com.microsoft"}  # "" is ai.onnx
_LOOPS = {"Loop", "Scan", "SequenceMap", "BeamSearch", "WhisperBeamSearch", "GreedySearch",
          "Sampling"}  # fmt: skip
_MAX_NODES = 200_000  # with every called function in its caller's place


def check_onnx(path: Path) -> None:
    """Raise unless a model is a network without loops whose weights lie in its folder.

    `If` is allowed: exporters write it, and it runs one of two branches once.

    Raises:
        CheckpointError: it refers to a file elsewhere, has loops or operators of another domain, or
            its functions multiply.
        ValueError: it is no ONNX model.
    """
    nodes: defaultdict[_Name, Counter[_Name]] = defaultdict(Counter)  # of the model and functions
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        messages = [("model", 0, len(data), _MODEL)]
        while messages:
            message, start, end, owner = messages.pop()
            texts: list[tuple[str, str]] = []
            inner: list[tuple[str, int, int]] = []
            for number, begin, stop in _parts(data, start, end):
                kind = _FIELDS[message].get(number, "")
                if kind in _FIELDS:
                    inner.append((kind, begin, stop))
                elif kind:
                    texts.append((kind, data[begin:stop].decode()))
            last = dict(texts)  # of a field that is there twice
            domain = last.get("domain", "")
            name = "" if domain == "ai.onnx" else domain, last.get("name", "")
            if message == "function":
                owner = name
                nodes[owner].update()  # it may have no nodes
            elif message == "node":
                nodes[owner][name] += 1
            messages.extend((*part, owner) for part in inner)
            if ("key", "location") in texts:  # before or after its value
                for location in (text for kind, text in texts if kind == "value"):
                    _check_location(path, location)
    if problem := _problem(nodes):
        raise CheckpointError(f"{path} is refused: {problem}")


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of an ONNX model, without the onnx package.

    Raises:
        ValueError: it is no ONNX model.
    """
    result = {}
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for number, begin, stop in _parts(data, 0, len(data)):
            if number == 14:  # metadata_props
                entry = {n: data[b:e].decode() for n, b, e in _parts(data, begin, stop)}
                result[entry.get(1, "")] = entry.get(2, "")
    return result


def _problem(nodes: Mapping[_Name, Counter[_Name]]) -> str | None:
    """Say what is wrong with the operators of a model and its functions, if anything is."""
    domains = _DOMAINS | {domain for domain, _ in nodes}
    for domain, name in sorted({called for calls in nodes.values() for called in calls}):
        if name in _LOOPS:
            return f"its operator {name} may run without an end; export it without loops"
        if domain not in domains:
            return f"it needs operators of {domain!r}; export it with ONNX's own alone"
    total, waiting = 0, Counter({_MODEL: 1})
    for _ in range(len(nodes) + 1):  # as deep as calls can nest without coming back
        total += sum(times * nodes[owner].total() for owner, times in waiting.items())
        if total > _MAX_NODES:
            break
        calls: Counter[_Name] = Counter()
        for owner, times in waiting.items():
            for called, number in nodes[owner].items():
                if called in nodes:
                    calls[called] += times * number
        if not calls:
            return None
        waiting = calls
    return f"it has more than {_MAX_NODES} operators, or functions that call each other on and on"


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
