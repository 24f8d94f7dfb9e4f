"""Converts between image messages and arrays.

cv_bridge converts if it imports and works (built for another NumPy it fails), else rosbags-image.
"""

from __future__ import annotations

import array
import functools
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from rosbags.image import image as rosbags_image
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image as ImageMessage

from objectomaly_ros.files.picture_size import check_pixels, picture_size
from objectomaly_ros.runtime.interface import BadImageError
from objectomaly_ros.types import Image, ScoreMap

# Encoding -> channels in memory; 16-bit ones end in "16".
CHANNELS: dict[str, int] = {
    "mono8": 1, "rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4,
    "mono16": 1, "rgb16": 3, "bgr16": 3, "rgba16": 4, "bgra16": 4,
    "bayer_rggb8": 1, "bayer_bggr8": 1, "bayer_gbrg8": 1, "bayer_grbg8": 1,
    "bayer_rggb16": 1, "bayer_bggr16": 1, "bayer_gbrg16": 1, "bayer_grbg16": 1,
    "uyvy": 2, "yuv422": 2, "yuyv": 2, "yuv422_yuy2": 2, "nv12": 1, "nv21": 1,
}  # fmt: skip
# Names of drivers that use OpenCV's.
ALIASES = {"8UC1": "mono8", "8UC3": "bgr8", "8UC4": "bgra8", "16UC3": "bgr16"}
DEPTH = ("16UC1", "32FC1", "16SC1", "64FC1")
PLANAR = {"nv12": cv2.COLOR_YUV2RGB_NV12, "nv21": cv2.COLOR_YUV2RGB_NV21}
PACKED = ("uyvy", "yuv422", "yuyv", "yuv422_yuy2")


def decode(message: ImageMessage | CompressedImage, max_pixels: int) -> Image:
    """Return the image of a message, (H, W, 3) uint8 RGB; it may share the message's memory.

    16-bit images lose their lower bits; grey ones get three equal channels. Rows may be padded.
    Nothing is allocated for an image of more than `max_pixels` pixels.

    Raises:
        BadImageError: the message holds no usable image.
    """
    if isinstance(message, CompressedImage):
        return _decompress(message, max_pixels)
    encoding = ALIASES.get(message.encoding, message.encoding)
    _check_size(message.width, message.height, max_pixels)
    pixels = _pixels(message, encoding)
    try:
        if encoding in PLANAR:
            return _rgb(cv2.cvtColor(np.ascontiguousarray(pixels), PLANAR[encoding]))
        bridge = _cv_bridge()
        if bridge is not None and message.encoding == encoding:
            return _rgb(bridge.imgmsg_to_cv2(message, "rgb8"))
        return _rgb(_convert(np.ascontiguousarray(pixels), encoding))
    except (cv2.error, rosbags_image.ImageError, ValueError, TypeError) as error:
        raise BadImageError(f"its {message.encoding} data does not convert: {error}") from error


def _pixels(message: ImageMessage, encoding: str) -> npt.NDArray[Any]:
    """View the message's pixels, checked; native byte order."""
    height, width = message.height, message.width
    if encoding in DEPTH:
        raise BadImageError(
            f"its encoding {encoding!r} is that of a depth image; give a colour or mono image"
        )
    if encoding not in CHANNELS:
        raise BadImageError(
            f"its encoding {encoding[:40]!r} is not supported; supported: {', '.join(CHANNELS)}"
        )
    if (encoding in PACKED and width % 2) or (encoding in PLANAR and (width % 2 or height % 2)):
        raise BadImageError(f"{encoding} has no odd sizes, but it is {width} x {height}")
    channels = CHANNELS[encoding]
    dtype = np.dtype(np.uint16 if encoding.endswith("16") else np.uint8)
    rows = height * 3 // 2 if encoding in PLANAR else height
    return _rows(message, rows, channels, dtype)


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if not (width and height):
        raise BadImageError(f"it is empty: {width} x {height} pixels")
    try:
        check_pixels(width, height, max_pixels)
    except ValueError as error:
        raise BadImageError(f"{error} (parameter max_pixels)") from error


def decode_score(message: ImageMessage, max_pixels: int) -> ScoreMap:
    """Return the score map of a 32FC1 message, (H, W) float32.

    Raises:
        BadImageError: the message holds no usable map.
    """
    _check_size(message.width, message.height, max_pixels)
    if message.encoding != "32FC1":
        raise BadImageError(f"its encoding is {message.encoding[:40]!r}; a score map is 32FC1")
    score = _rows(message, message.height, 1, np.dtype(np.float32))
    if not np.isfinite(score).all():
        raise BadImageError("it holds values that are not finite")
    return np.array(score)  # the message's memory may be read-only


def _rows(
    message: ImageMessage, rows: int, channels: int, dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    """View a message's data as (rows, W) or (rows, W, channels), checked; native byte order."""
    width, step = message.width, message.step
    line = width * channels * dtype.itemsize
    if step < line:
        raise BadImageError(
            f"its step is {step} bytes, but {width} pixels of {message.encoding} take {line}"
        )
    wanted = step * (rows - 1) + line  # some drivers do not pad the last row
    if len(message.data) < wanted:
        raise BadImageError(
            f"its data is too short: {len(message.data)} bytes, but {rows} rows with step {step} "
            f"take {wanted}"
        )
    shape = (rows, width) if channels == 1 else (rows, width, channels)
    strides = (step, channels * dtype.itemsize, dtype.itemsize)[: len(shape)]
    order = dtype.newbyteorder(">" if message.is_bigendian else "<")
    pixels: npt.NDArray[Any] = np.ndarray(shape, order, message.data, strides=strides)
    return pixels.astype(dtype, copy=False)


def _decompress(message: CompressedImage, max_pixels: int) -> Image:
    data = bytes(message.data)
    kind = message.format[:80]
    if not data:
        raise BadImageError("it is empty: compressed data of 0 bytes")
    if "compressedDepth" in kind:
        raise BadImageError("it is a compressed depth image; give a colour or mono image")
    # OpenCV fills missing rows with grey, which a detector would take for a scene.
    if (data.startswith(b"\xff\xd8") and b"\xff\xd9" not in data) or (
        data.startswith(b"\x89PNG") and b"IEND" not in data
    ):
        raise BadImageError(f"its {kind or 'compressed'} data is cut short at {len(data)} bytes")
    damaged = f"its {len(data)} bytes of {kind!r} data are damaged or in no known image format"
    size = picture_size(data)
    if size is None:
        raise BadImageError(damaged)
    _check_size(*size, max_pixels)
    original = kind.split(";")[0].strip()
    bayer = original.startswith("bayer_") and original in CHANNELS
    how = cv2.IMREAD_GRAYSCALE if bayer else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except cv2.error as error:
        raise BadImageError(f"its {kind!r} data does not decode: {error}") from error
    if image is None or not image.size:
        raise BadImageError(damaged)
    if bayer:
        return _rgb(_convert(np.asarray(image), original.replace("16", "8")))
    return _rgb(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def _convert(pixels: npt.NDArray[Any], encoding: str) -> npt.NDArray[Any]:
    return np.asarray(rosbags_image.convert_color(pixels, encoding, "rgb8"))


def _rgb(image: npt.NDArray[Any]) -> Image:
    return np.ascontiguousarray(image, np.uint8)


@functools.cache
def _cv_bridge() -> Any | None:
    """Return a CvBridge that converts a sample, or None."""
    try:
        from cv_bridge import CvBridge

        bridge = CvBridge()
        sample = ImageMessage(height=1, width=2, step=6, encoding="bgr8")
        sample.data = array.array("B", [1, 2, 3, 4, 5, 6])
        works = bridge.imgmsg_to_cv2(sample, "rgb8").tolist() == [[[3, 2, 1], [6, 5, 4]]]
    except Exception:  # the wrong NumPy makes it fail in many ways
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
