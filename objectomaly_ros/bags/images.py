"""Reads images, anomaly scores and obstacle masks out of bags as arrays."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from rosbags.image.image import ImageError, convert_color, image_to_cvimage, to_cvtype

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.files.picture_size import check_pixels, picture_size
from objectomaly_ros.types import Image, ScoreMap

ArrayT = TypeVar("ArrayT", bound=npt.NDArray[Any])

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stamped(Generic[ArrayT]):
    """One frame of a bag, with its header's stamp and its log time in nanoseconds."""

    array: ArrayT
    stamp_ns: int
    frame_id: str
    log_time: int
    topic: str


def read_images(bag: Bag | Path | str, topic: str | None = None) -> Iterator[Stamped[Image]]:
    """Yield the frames of an image topic as RGB, whatever their encoding, raw or compressed.

    A frame that cannot be decoded is skipped with a warning; if none can, that is an error.

    Args:
        bag: an open bag, or the path of one.
        topic: its name; without one the bag must hold exactly one image topic.

    Yields:
        (H,W,3) uint8 RGB arrays with their stamps.

    Raises:
        BagError: no such bag or topic, or not one readable frame in it.
    """
    yield from _read(bag, topic, "rgb8")


def read_scores(bag: Bag | Path | str, topic: str) -> Iterator[Stamped[ScoreMap]]:
    """Yield the score maps of a 32FC1 topic as (H,W) float32, otherwise like `read_images`."""
    yield from _read(bag, topic, "32FC1")


def read_masks(bag: Bag | Path | str, topic: str) -> Iterator[Stamped[npt.NDArray[np.uint8]]]:
    """Yield the masks of a mono8 topic as (H,W) uint8, otherwise like `read_images`."""
    yield from _read(bag, topic, "mono8")


def _read(bag: Bag | Path | str, topic: str | None, want: str) -> Iterator[Stamped[Any]]:
    if not isinstance(bag, Bag):
        with Bag(bag) as opened:
            yield from _read(opened, topic, want)
        return
    name = bag.image_topic(topic).name
    good, bad, first = 0, 0, ""
    for raw in bag.messages([name]):
        try:
            message = bag.decode(raw)
            array = decode_image(message, want)
        except BagError as error:
            bad += 1
            first = first or str(error)
            logger.warning("%s: frame %d skipped: %s", name, good + bad, error)
            continue
        good += 1
        stamp = message.header.stamp
        stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
        yield Stamped(array, stamp_ns, message.header.frame_id, raw.log_time, name)
    if not good:
        why = (
            f"all {bad} messages are unreadable, the first because {first}"
            if bad
            else "it is empty"
        )
        raise BagError(f"no image on topic {name} of {bag.path}: {why}")


def decode_image(message: Any, want: str = "rgb8") -> Any:
    """Turn an Image or CompressedImage message into an array.

    Args:
        message: any object with the fields of sensor_msgs/Image or CompressedImage.
        want: rgb8 -> (H,W,3) uint8; mono8 -> (H,W) uint8; 32FC1 -> (H,W) float32.

    Raises:
        BagError: an empty or cut image, or an encoding that cannot be turned into that.
    """
    compressed = hasattr(message, "format")
    encoding = message.format if compressed else message.encoding
    try:
        array, encoding = _decompress(message) if compressed else (_unpack(message), encoding)
        return np.ascontiguousarray(convert_color(array, encoding, want))
    except (ImageError, cv2.error, ValueError, TypeError) as error:
        raise BagError(
            f"an image with encoding {encoding!r} cannot be read as {want}: {error}"
        ) from error


def decode_picture(data: bytes, flags: int) -> npt.NDArray[Any]:
    """Decode a PNG, JPEG, WebP, BMP or TIFF with `cv2.imdecode`.

    Raises:
        ValueError: it is none of these, damaged, or has too many pixels.
    """
    size = picture_size(data)
    if size:
        check_pixels(*size)
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        if picture is not None:
            return picture
    raise ValueError(f"its {len(data)} bytes are no PNG, JPEG, WebP, BMP or TIFF, or damaged")


def _decompress(message: Any) -> tuple[npt.NDArray[Any], str]:
    if "compressedDepth" in message.format:
        raise BagError(f"a depth image (format {message.format!r}) is no camera image")
    array = decode_picture(bytes(message.data), cv2.IMREAD_ANYCOLOR)
    return array, "mono8" if array.ndim == 2 else "bgr8"


def _unpack(message: Any) -> npt.NDArray[Any]:
    try:
        bits, _, _, channels = to_cvtype(message.encoding)
    except ImageError as error:
        raise BagError(f"the encoding {message.encoding!r} is not supported") from error
    height, width, step = message.height, message.width, message.step
    if not height or not width:
        raise BagError(f"an empty image ({width} x {height})")
    check_pixels(width, height)
    row = width * channels * bits // 8
    # NV12 and NV21 carry their colour in further rows, half as many as the image has.
    rows = height * 3 // 2 if message.encoding in ("nv12", "nv21") else height
    data = np.frombuffer(message.data, np.uint8)
    if step < row or data.size < step * rows:
        raise BagError(
            f"a {width} x {height} {message.encoding} image needs a step of {row} and "
            f"{row * rows} bytes, it has a step of {step} and {data.size} bytes"
        )
    packed = np.ascontiguousarray(data[: step * rows].reshape(rows, step)[:, :row]).reshape(-1)
    return np.asarray(
        image_to_cvimage(_Fields(message.encoding, rows, width, message.is_bigendian, packed))
    )


@dataclass(frozen=True)
class _Fields:
    """What rosbags-image reads of an Image, with rows that are not padded."""

    encoding: str
    height: int
    width: int
    is_bigendian: int
    data: npt.NDArray[np.uint8]
