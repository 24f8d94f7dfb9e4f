"""Makes serialised messages smaller before they are recorded."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

HEADER = "std_msgs/msg/Header"
IMAGE = "sensor_msgs/msg/Image"


def begins_with_header(store: Any, msgtype: str) -> bool:
    """Return whether the first field of a type ("package/msg/Name") is a std_msgs/Header."""
    _, fields = store.fielddefs[msgtype]
    return bool(fields) and fields[0][1][1] == HEADER


def header_stamp_ns(data: bytes) -> int:
    """Return the stamp of a message that begins with a std_msgs/Header, from its CDR bytes."""
    order = "<" if data[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(f"{order}iI", data, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def only_header(data: bytes) -> bytes:
    """Return the std_msgs/Header at the begin of a message, both as CDR bytes."""
    (length,) = struct.unpack_from("<I" if data[1] & 1 else ">I", data, 12)
    return data[: 16 + length]


def round_scores(store: Any, data: bytes, bits: int) -> bytes:
    """Round a 32FC1 image to multiples of 2^-bits, so that it can be compressed.

    Args:
        store: rosbags Typestore.
        data: CDR bytes of a sensor_msgs/Image; another encoding is left as it is.
        bits: the largest error is 2^-(bits + 1).
    """
    message = store.deserialize_cdr(data, IMAGE)
    if message.encoding != "32FC1" or message.is_bigendian or len(message.data) % 4:
        return data
    values = message.data.view("<f4")
    scale = np.float32(2**bits)
    message.data = (np.rint(values * scale) / scale).view(np.uint8)
    return bytes(store.serialize_cdr(message, IMAGE))
