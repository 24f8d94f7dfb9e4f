"""Reads images, anomaly scores and obstacle masks from bags as arrays."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.arrays.image_messages import ImageDecoder, decode_plane, imdecode
from objectomaly_ros.arrays.score_png import decode_score
from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.files.reading import printable
from objectomaly_ros.types import Image, ScoreMap

_TRIED = 20

ArrayT = TypeVar("ArrayT", bound=npt.NDArray[Any])

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stamped(Generic[ArrayT]):
    """A frame of a bag; stamp (of the header) and log time in nanoseconds."""

    array: ArrayT
    stamp_ns: int
    frame_id: str
    log_time: int


def read_images(bag: Bag | Path | str, topic: str | None = None) -> Iterator[Stamped[Image]]:
    """Yield the frames of an image topic as RGB, whatever their encoding, raw or compressed.

    A frame that cannot be decoded is skipped with a warning; if none can, that is an error.

    Args:
        bag: an open bag, or the path of one.
        topic: its name; may be left out if the bag has a single image topic.

    Yields:
        (H,W,3) uint8 RGB arrays with their stamps.

    Raises:
        BagError: no such bag or topic, or it has no readable frame.
    """
    yield from _read(bag, topic, ImageDecoder(warn=_warn).decode)


def read_scores(bag: Bag | Path | str, topic: str) -> Iterator[Stamped[ScoreMap]]:
    """Yield score maps, (H,W) float32, otherwise as `read_images`.

    Their topic is 32FC1, or compressed as `objectomaly bag` writes it.
    """
    yield from _read(bag, topic, _decode_score)


def read_masks(bag: Bag | Path | str, topic: str) -> Iterator[Stamped[npt.NDArray[np.uint8]]]:
    """Yield the masks of a mono8 topic, raw or PNG, (H,W) uint8, otherwise as `read_images`."""
    yield from _read(bag, topic, _decode_mask)


def check_images(bag: Bag, topic: str | None = None) -> None:
    """Check that the images of a topic can be decoded.

    Raises:
        BagError: no such topic, or none of its first images can be decoded.
    """
    name = bag.image_topic(topic).name
    first = ""
    for raw in islice(bag.messages([name]), _TRIED):
        try:
            ImageDecoder().decode(bag.decode(raw))
            return
        except (BagError, ValueError) as error:
            first = first or str(error)
    why = f"its first images are unreadable, the first because {first}" if first else "it is empty"
    raise BagError(f"no image on topic {name} of {bag.path}: {why}")


def _decode_score(message: Any) -> ScoreMap:
    if hasattr(message, "format"):  # a CompressedImage
        return decode_score(message.format, bytes(message.data))
    return decode_plane(message, "32FC1")


def _decode_mask(message: Any) -> npt.NDArray[np.uint8]:
    if not hasattr(message, "format"):
        return decode_plane(message, "mono8")
    mask = imdecode(bytes(message.data), cv2.IMREAD_UNCHANGED)
    if mask.dtype != np.uint8 or mask.ndim != 2:
        raise ValueError(f"its pixels are {mask.dtype} with {mask.ndim} axes, no mono8")
    return mask


def _warn(text: str) -> None:
    logger.warning("%s", text)


def _read(
    bag: Bag | Path | str, topic: str | None, decode: Callable[[Any], Any]
) -> Iterator[Stamped[Any]]:
    if not isinstance(bag, Bag):
        with Bag(bag) as opened:
            yield from _read(opened, topic, decode)
        return
    name = bag.image_topic(topic).name
    good, bad, first = 0, 0, ""
    for raw in bag.messages([name]):
        try:
            message = bag.decode(raw)
            array = decode(message)
        except (BagError, ValueError) as error:
            bad += 1
            first = first or str(error)
            text = f"{name}: frame {good + bad} skipped: {error}"
            logger.warning("%s", printable(text))
            continue
        good += 1
        stamp = message.header.stamp
        stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
        yield Stamped(array, stamp_ns, message.header.frame_id, raw.log_time)
    if not good:
        why = f"all {bad} messages are unreadable, the first because {first}"
        raise BagError(f"no image on topic {name} of {bag.path}: {why if bad else 'it is empty'}")
