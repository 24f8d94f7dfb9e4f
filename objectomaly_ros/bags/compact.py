"""Reads and changes serialised messages: their stamps, and their size before recording."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

HEADER = "std_msgs/msg/Header"
IMAGE = "sensor_msgs/msg/Image"
HEADER_BYTES = 16  # of CDR, up to the name of the frame


def begins_with_header(store: Any, msgtype: str) -> bool:
    """Return whether the first field of a type ("package/msg/Name") is a std_msgs/Header."""
    _, fields = store.fielddefs[msgtype]
    return bool(fields) and fields[0][1][1] == HEADER


def header_stamp_ns(data: bytes) -> int:
    """Return the stamp of a message that begins with a std_msgs/Header, from its CDR bytes."""
    order = "<" if data[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(f"{order}iI", data, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def with_stamp(data: bytes, stamp_ns: int) -> bytes:
    """Return a message that begins with a std_msgs/Header with another stamp, as CDR bytes."""
    order = "<" if data[1] & 1 else ">"
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    return data[:4] + struct.pack(f"{order}iI", seconds, nanoseconds) + data[12:]


def only_header(data: bytes) -> bytes:
    """Return the std_msgs/Header at the begin of a message, both as CDR bytes."""
    (length,) = struct.unpack_from("<I" if data[1] & 1 else ">I", data, 12)
    return data[: 16 + length]


def round_scores(data: bytes, bits: int) -> bytes | bytearray:
    """Round a 32FC1 image to multiples of 2^-bits, so that it can be compressed.

    Args:
        data: CDR bytes of a sensor_msgs/Image; another encoding is left as it is.
        bits: the largest error is 2^-(bits + 1).
    """
    if data[1] != 1:  # not little-endian
        return data
    encoding = _aligned(16 + _uint32(data, 12)) + 8  # after the frame, height and width
    text = encoding + 4
    big_endian = text + _uint32(data, encoding)
    start = _aligned(big_endian + 1) + 8  # after the step and the number of bytes
    size = _uint32(data, start - 4)
    if data[text:big_endian] != b"32FC1\0" or data[big_endian] or size % 4:
        return data
    rounded = bytearray(data)
    values = np.frombuffer(rounded, "<f4", size // 4, start)
    scale = np.float32(2**bits)
    values *= scale
    np.rint(values, values)
    values /= scale
    return rounded


def _uint32(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "little")


def _aligned(offset: int) -> int:
    return (offset + 3) // 4 * 4
