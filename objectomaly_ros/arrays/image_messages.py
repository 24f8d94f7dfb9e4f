"""Turns image messages into arrays; any object with the fields of sensor_msgs will do.

The node, the bag tools and the command all decode here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.arrays.bit_depth import BitDepth
from objectomaly_ros.files.jpeg import Jpeg
from objectomaly_ros.files.picture_size import MAX_PIXELS, check_pixels, check_work, picture_size
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
_FILLED = 128  # libjpeg's value of pixels without data
DEPTH = ("16UC1", "32FC1", "16SC1", "64FC1")


class ImageDecoder:
    """Decodes the images of one camera.

    Args:
        max_pixels: nothing is allocated for an image of more pixels.
        warn: takes what is remarkable about the images, once.
    """

    def __init__(
        self, max_pixels: int = MAX_PIXELS, warn: Callable[[str], None] | None = None
    ) -> None:
        self._max_pixels = max_pixels
        self._depth = BitDepth(warn)
        self._warn = warn

    def decode(self, message: Any) -> Image:
        """Return the image of a message, (H, W, 3) uint8 RGB; it may share the message's memory.

        Of 16-bit images the upper bits in use count; grey ones get three equal channels. Rows may
        be padded.

        Raises:
            ValueError: the message holds no usable image.
        """
        if hasattr(message, "format"):  # a CompressedImage
            return self._decompress(message)
        pixels = view_pixels(message, self._max_pixels)
        if (data := _jpeg_in(message)) is not None:
            if self._warn is not None:
                self._warn(f"they are JPEGs, though their encoding says {message.encoding}")
                self._warn = None
            return self.decode_picture(data)
        try:
            return self._rgb(pixels, ALIASES.get(message.encoding, message.encoding))
        except cv2.error as error:
            raise ValueError(f"its {message.encoding} data does not convert: {error}") from error

    def decode_picture(self, data: bytes) -> Image:
        """Decode a PNG, JPEG, WebP, BMP or TIFF to (H, W, 3) uint8 RGB.

        It is not turned as EXIF says: cameras are mounted as their intrinsics tell.

        Raises:
            ValueError: it is none of these, damaged, cut short, or too large.
        """
        picture = self._unpack(data, cv2.IMREAD_COLOR)
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))

    def _decompress(self, message: Any) -> Image:
        # image_transport: "ORIGINAL ENCODING; jpeg compressed ENCODING IN THE JPEG"
        data, original = bytes(message.data), message.format.split(";")[0].strip()
        if "compressedDepth" in message.format or original in DEPTH:
            raise ValueError("it is a compressed depth image; give a colour or mono image")
        inside = message.format.partition("compressed")[2].strip()
        try:
            if original.startswith("bayer_") and original in ENCODINGS:
                picture = self._unpack(data, cv2.IMREAD_UNCHANGED)
                if picture.ndim == 2 and inside in ("", original):
                    return self._rgb(picture, original)
            return self.decode_picture(data)
        except ValueError as error:
            raise ValueError(f"{error} (its format says {message.format[:40]!r})") from error

    def _unpack(self, data: bytes, flags: int) -> npt.NDArray[np.uint8]:
        if not data:
            raise ValueError("it is empty: compressed data of 0 bytes")
        how = flags | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
        return self._eight_bits(imdecode(data, how, self._max_pixels))

    def _eight_bits(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        if pixels.dtype == np.uint16:
            return self._depth.to_eight_bits(pixels)
        if pixels.dtype != np.uint8:
            raise ValueError(f"its pixels are {pixels.dtype}; an image has 8 or 16 bits")
        return pixels

    def _rgb(self, pixels: npt.NDArray[Any], encoding: str) -> Image:
        pixels = np.ascontiguousarray(self._eight_bits(pixels))
        code = ENCODINGS[encoding][1]
        return pixels if code is None else np.asarray(cv2.cvtColor(pixels, code))


def decode_image(message: Any, max_pixels: int = MAX_PIXELS) -> Image:
    """Decode a single image as `ImageDecoder.decode` does."""
    return ImageDecoder(max_pixels).decode(message)


def view_pixels(message: Any, max_pixels: int) -> npt.NDArray[Any]:
    """View the pixels of an uncompressed image, in native byte order, after all checks.

    Raises:
        ValueError: the message holds no usable image.
    """
    height, width = message.height, message.width
    encoding = ALIASES.get(message.encoding, message.encoding)
    _check_size(width, height, max_pixels)
    if encoding in DEPTH:
        raise ValueError(
            f"its encoding {encoding!r} is that of a depth image; give a colour or mono image"
        )
    if encoding not in ENCODINGS:
        raise ValueError(
            f"its encoding {encoding[:40]!r} is not supported; supported: {', '.join(ENCODINGS)}"
        )
    if (encoding in PACKED and width % 2) or (encoding in PLANAR and (width % 2 or height % 2)):
        raise ValueError(f"{encoding} has no odd sizes, but it is {width} x {height}")
    channels = ENCODINGS[encoding][0]
    dtype = np.dtype(np.uint16 if encoding.endswith("16") else np.uint8)
    rows = height * 3 // 2 if encoding in PLANAR else height
    return _rows(message, rows, channels, dtype)


def _jpeg_in(message: Any) -> bytes | None:
    """Return the JPEG that a driver published as pixels (usb_cam's raw_mjpeg); None for pixels."""
    if bytes(message.data[:3]) != b"\xff\xd8\xff":
        return None
    data = bytes(message.data)
    return data if picture_size(data) == (message.width, message.height) else None


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if not (width and height):
        raise ValueError(f"it is empty: {width} x {height} pixels")
    check_pixels(width, height, max_pixels)


def decode_plane(message: Any, encoding: str, max_pixels: int = MAX_PIXELS) -> npt.NDArray[Any]:
    """Return the values of a message of `encoding` mono8 or 32FC1, (H, W) uint8 or float32.

    Raises:
        ValueError: the message holds no such values.
    """
    _check_size(message.width, message.height, max_pixels)
    if message.encoding != encoding:
        raise ValueError(f"its encoding is {message.encoding[:40]!r}, not {encoding}")
    dtype = np.dtype(np.float32 if encoding == "32FC1" else np.uint8)
    return np.array(_rows(message, message.height, 1, dtype))  # the message may be read-only


def decode_score(message: Any, max_pixels: int = MAX_PIXELS) -> ScoreMap:
    """Return the score map of a 32FC1 message, (H, W) float32.

    Raises:
        ValueError: the message holds no usable map.
    """
    return decode_plane(message, "32FC1", max_pixels)


def decode_depth(message: Any, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.float32]:
    """Return the depth of a 16UC1 (mm) or 32FC1 (m) message in metres, (H, W) float32.

    The largest 16-bit value is 0: some sensors write it into holes, and it is no distance.

    Raises:
        ValueError: the message holds no such values.
    """
    _check_size(message.width, message.height, max_pixels)
    if message.encoding in ("16UC1", "mono16"):
        rows = _rows(message, message.height, 1, np.dtype(np.uint16))
        return np.asarray(np.where(rows == 65535, 0, rows) * np.float32(0.001), np.float32)
    if message.encoding == "32FC1":
        return np.asarray(_rows(message, message.height, 1, np.dtype(np.float32)))
    raise ValueError(
        f"its encoding is {message.encoding[:40]!r}; depth is 16UC1 in mm or 32FC1 in m"
    )


def _rows(message: Any, rows: int, channels: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """View a message's data as (rows, W) or (rows, W, channels), checked; native byte order."""
    width, step = message.width, message.step
    line = width * channels * dtype.itemsize
    if step < line:
        raise ValueError(
            f"its step is {step} bytes, but {width} pixels of {message.encoding} take {line}"
        )
    wanted = step * (rows - 1) + line  # some drivers do not pad the last row
    if len(message.data) < wanted:
        raise ValueError(
            f"its data is too short: {len(message.data)} bytes, but {rows} rows with step {step} "
            f"take {wanted}"
        )
    shape = (rows, width) if channels == 1 else (rows, width, channels)
    strides = (step, channels * dtype.itemsize, dtype.itemsize)[: len(shape)]
    order = dtype.newbyteorder(">" if message.is_bigendian else "<")
    pixels: npt.NDArray[Any] = np.ndarray(shape, order, message.data, strides=strides)
    return pixels.astype(dtype, copy=False)


def imdecode(data: bytes, flags: int, max_pixels: int = MAX_PIXELS) -> npt.NDArray[Any]:
    """Decode as `cv2.imdecode` does, if the size in the header is right and nothing is missing.

    A JPEG is whole without its end marker, too; bytes behind it do not count.

    Raises:
        ValueError: it is damaged, cut short, in no known format, or larger than `max_pixels`.
    """
    size = picture_size(data)
    if size is None:
        raise ValueError(f"its {len(data)} bytes are damaged or in no known image format")
    check_pixels(*size, max_pixels)
    check_work(data, *size)
    if data.startswith(b"\xff\xd8"):
        jpeg = Jpeg(data)
        picture = _imdecode(jpeg.data, flags)
        if _may_lack_data(jpeg, picture) and any(
            not np.array_equal(_imdecode(more, flags), picture) for more in jpeg.extended()
        ):
            raise jpeg.cut_short()
        return picture
    return _imdecode(data, flags)


def _may_lack_data(jpeg: Jpeg, picture: npt.NDArray[Any]) -> bool:
    """Return whether the ends of restart intervals show what decoders fill in, or cannot tell."""
    blocks = jpeg.last_blocks()
    if blocks is None:
        return True
    pixels = picture[blocks].reshape(len(blocks[0]), -1)
    if jpeg.thin and pixels.shape[1] == 3:  # mixed with the colour, not with the brightness before
        luma = pixels @ np.array((0.114, 0.587, 0.299), np.float32)
        return bool((np.abs(luma - _FILLED) < 2).any())
    return bool((pixels == _FILLED).all(axis=1).any())


def _imdecode(data: bytes, flags: int) -> npt.NDArray[Any]:
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ValueError(f"its {len(data)} bytes do not decode: {error}") from error
    if picture is None:
        raise ValueError(f"its {len(data)} bytes are damaged or in no known image format")
    return picture
