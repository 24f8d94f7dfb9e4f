"""Fills image messages with arrays."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import Image as ImageMessage


def fill(message: ImageMessage, pixels: npt.NDArray[Any], encoding: str) -> ImageMessage:
    """Copy pixels into a message, into the memory it has if the size fits.

    Args:
        message: keeps its header.
        pixels: (H, W) or (H, W, C), of the encoding's type.
        encoding: such as "32FC1", "mono8" or "rgb8".
    """
    pixels = np.ascontiguousarray(pixels)
    message.height, message.width = pixels.shape[:2]
    message.encoding = encoding
    message.is_bigendian = 0
    message.step = pixels.strides[0]
    if len(message.data) != pixels.nbytes:
        # Messages take an array.array alone without a check of every byte.
        message.data = array.array("B", bytes(pixels.nbytes))
    np.frombuffer(message.data, np.uint8)[:] = pixels.reshape(-1).view(np.uint8)
    return message
