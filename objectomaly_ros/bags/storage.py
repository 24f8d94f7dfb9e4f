"""Shared by the storage formats of bags: messages, limits, decompression, merging."""

from __future__ import annotations

import heapq
import math
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lz4.frame  # type: ignore[import-untyped]
from rosbags.rosbag2.metadata import parse_qos

from objectomaly_ros.files.reading import parse_yaml, regular_file

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MSG_FORM = "ros2msg"
MAX_BYTES = 512 * 2**20  # of one record, chunk or message, also when decompressed
FIRST_TIME, LAST_TIME = -(2**63), 2**64  # bounds of all log times (ns)
_SMALL_BYTES, _RATIO = 2**30, 100  # a compressed file may hold the larger of 1 GiB, 100 x its size
_MAX_QOS_BYTES = 2**16
_COMPRESSED = {b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}


@dataclass(frozen=True)
class Topic:
    """A topic of a bag or of one of its files.

    Attributes:
        name: of the topic.
        msgtype: "package/msg/Name".
        count: of its messages.
        profiles: what its publishers offered, YAML texts.
        definition: of the type, in msg form; empty if there is none or it is in IDL.
    """

    name: str
    msgtype: str
    count: int = 0
    profiles: tuple[Any, ...] = ()
    definition: str = ""

    @property
    def qos(self) -> tuple[Any, ...]:
        """The offered QoS as of rosbags, without damaged profiles, which harm no message."""
        found: list[Any] = []
        for text in self.profiles:
            with suppress(Exception):  # parse_qos trusts the types in a profile
                found += parse_qos(parse_yaml(text, _MAX_QOS_BYTES))
        return tuple(found)


@dataclass(frozen=True)
class RawMessage:
    """One recorded message: topic, type, log time in nanoseconds and its CDR bytes."""

    topic: str
    msgtype: str
    log_time: int
    data: bytes


def inflate(data: bytes, compression: str, limit: int = MAX_BYTES) -> bytes:
    """Decompress data up to a limit.

    Args:
        data: compressed.
        compression: "zstd", "lz4", or "" for none.
        limit: for the result, bytes.

    Raises:
        ValueError: the result is larger, the data is cut, or the compression is unknown.
        Exception: the data is damaged; each library has errors of its own.
    """
    if not compression:
        return data
    if compression == "zstd":
        decompressor = zstd.ZstdDecompressor()
    elif compression == "lz4":
        decompressor = lz4.frame.LZ4FrameDecompressor()
    else:
        raise ValueError(f"unknown compression {compression!r}; known are zstd and lz4")
    result: bytes = decompressor.decompress(data, max_length=limit + 1)
    if len(result) > limit:
        raise ValueError(f"{len(data)} bytes of {compression} hold more than {limit} bytes")
    if not decompressor.eof:
        raise ValueError(f"{len(data)} bytes of {compression} end too early")
    return result


def compression_of(data: bytes) -> str | None:
    """Return how a message is compressed on its own, "" if it is CDR, None if it is neither."""
    return "" if data[:1] == b"\0" else _COMPRESSED.get(data[:4])  # CDR begins with 0


def inflate_file(source: Path, target: Path) -> Path:
    """Decompress a zstd file to `target`, up to a limit that grows with its size.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: the result is larger.
    """
    size = regular_file(source).stat().st_size
    limit = max(_SMALL_BYTES, _RATIO * size)
    with zstd.open(source) as packed, target.open("wb") as file:
        while part := packed.read(2**20):
            if file.tell() + len(part) > limit:
                raise ValueError(
                    f"{source} has {size} bytes that hold more than {limit}; if that is right, "
                    f"decompress it by hand: zstd -d {source}"
                )
            file.write(part)
    return target


def merge_by_time(sources: Iterable[tuple[int, Iterator[RawMessage]]]) -> Iterator[RawMessage]:
    """Merge streams that are in order of log time, each started only when its time has come.

    Args:
        sources: log time (ns) of the first message, and stream.
    """
    heap: list[tuple[int, int, RawMessage, Iterator[RawMessage]]] = []

    def take(number: int, stream: Iterator[RawMessage]) -> None:
        message = next(stream, None)
        if message is not None:
            heapq.heappush(heap, (message.log_time, number, message, stream))

    ordered = sorted(sources, key=lambda source: source[0])
    for number, (start, stream) in enumerate([*ordered, (math.inf, iter(()))]):
        while heap and heap[0][0] < start:
            _, earlier, message, running = heapq.heappop(heap)
            yield message
            take(earlier, running)
        take(number, stream)
