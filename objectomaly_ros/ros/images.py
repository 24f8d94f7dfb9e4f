"""Converts between image messages and arrays."""

from __future__ import annotations

import array
import functools
from typing import Any

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image as ImageMessage

from objectomaly_ros.arrays.image_messages import decode_image, view_pixels
from objectomaly_ros.types import Image

BRIDGED = ("mono8", "rgb8", "bgr8", "rgba8", "bgra8")


def decode(message: ImageMessage | CompressedImage, max_pixels: int) -> Image:
    """Return the image of a message, (H, W, 3) uint8 RGB; it may share the message's memory.

    cv_bridge converts plain encodings if it works here, OpenCV all others, with the same result.

    Raises:
        ValueError: the message holds no usable image.
    """
    bridge = _cv_bridge()
    if bridge is None or isinstance(message, CompressedImage) or message.encoding not in BRIDGED:
        return decode_image(message, max_pixels)
    view_pixels(message, max_pixels)  # for its checks
    return np.ascontiguousarray(bridge.imgmsg_to_cv2(message, "rgb8"), np.uint8)


@functools.cache
def _cv_bridge() -> Any | None:
    """Return a CvBridge that converts a sample, else None."""
    try:
        from cv_bridge import CvBridge

        bridge = CvBridge()
        sample = ImageMessage(height=1, width=2, step=6, encoding="bgr8")
        sample.data = array.array("B", [1, 2, 3, 4, 5, 6])
        works = bridge.imgmsg_to_cv2(sample, "rgb8").tolist() == [[[3, 2, 1], [6, 5, 4]]]
    except Exception:  # a cv_bridge that was built for another NumPy fails in many ways
        return None
    return bridge if works else None


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
