"""Converts between image messages and arrays."""

from __future__ import annotations

import array
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image as ImageMessage

from objectomaly_ros.files.picture_size import check_pixels, picture_size
from objectomaly_ros.runtime.interface import BadImageError
from objectomaly_ros.types import Image, ScoreMap

# Encoding -> values per pixel in memory, OpenCV's conversion to RGB.
ENCODINGS: dict[str, tuple[int, int | None]] = {
    "mono8": (1, cv2.COLOR_GRAY2RGB), "rgb8": (3, None), "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB), "bgra8": (4, cv2.COLOR_BGRA2RGB),
    # OpenCV names a Bayer pattern by its second row.
    "bayer_rggb8": (1, cv2.COLOR_BayerBG2RGB), "bayer_bggr8": (1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": (1, cv2.COLOR_BayerGR2RGB), "bayer_grbg8": (1, cv2.COLOR_BayerGB2RGB),
}  # fmt: skip
ENCODINGS |= {f"{name[:-1]}16": how for name, how in ENCODINGS.items()}
PACKED = dict.fromkeys(("uyvy", "yuv422"), (2, cv2.COLOR_YUV2RGB_UYVY)) | dict.fromkeys(
    ("yuyv", "yuv422_yuy2"), (2, cv2.COLOR_YUV2RGB_YUYV)
)
PLANAR = {"nv12": (1, cv2.COLOR_YUV2RGB_NV12), "nv21": (1, cv2.COLOR_YUV2RGB_NV21)}
ENCODINGS |= PACKED | PLANAR
ALIASES = {"8UC1": "mono8", "8UC3": "bgr8", "8UC4": "bgra8", "16UC3": "bgr16"}  # OpenCV's names
DEPTH = ("16UC1", "32FC1", "16SC1", "64FC1")


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
        return _rgb(pixels, encoding)
    except cv2.error as error:
        raise BadImageError(f"its {encoding} data does not convert: {error}") from error


def _rgb(pixels: npt.NDArray[Any], encoding: str) -> Image:
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    pixels, code = np.ascontiguousarray(pixels), ENCODINGS[encoding][1]
    return pixels if code is None else np.asarray(cv2.cvtColor(pixels, code))


def _pixels(message: ImageMessage, encoding: str) -> npt.NDArray[Any]:
    """View the message's pixels, checked; native byte order."""
    height, width = message.height, message.width
    if encoding in DEPTH:
        raise BadImageError(
            f"its encoding {encoding!r} is that of a depth image; give a colour or mono image"
        )
    if encoding not in ENCODINGS:
        raise BadImageError(
            f"its encoding {encoding[:40]!r} is not supported; supported: {', '.join(ENCODINGS)}"
        )
    if (encoding in PACKED and width % 2) or (encoding in PLANAR and (width % 2 or height % 2)):
        raise BadImageError(f"{encoding} has no odd sizes, but it is {width} x {height}")
    channels = ENCODINGS[encoding][0]
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
    bayer = original.startswith("bayer_") and original in ENCODINGS
    how = cv2.IMREAD_GRAYSCALE if bayer else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except cv2.error as error:
        raise BadImageError(f"its {kind!r} data does not decode: {error}") from error
    if image is None or not image.size:
        raise BadImageError(damaged)
    return _rgb(np.asarray(image), original if bayer else "bgr8")


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
