"""Reads images and labels; errors name the file and its fault."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageOps

from objectomaly_ros.arrays.image_messages import ImageDecoder
from objectomaly_ros.evaluation.datasets import CITYSCAPES_IDS, PLAIN
from objectomaly_ros.evaluation.frames import ANOMALY, InstanceIds, Labels
from objectomaly_ros.files.picture_size import check_pixels, check_work
from objectomaly_ros.files.reading import read_bytes
from objectomaly_ros.types import Image

# Of its many others Pillow hands some to programs: PostScript to Ghostscript.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
_MAX_BYTES = 2**29
_ORIENTATION = 0x0112  # EXIF's number of it
_UNREADABLE = (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError)


class FrameError(ValueError):
    """A frame cannot be used; the message names the file and its fault."""


def read_image(path: str | Path) -> Image:
    """Read an image as (H, W, 3) RGB uint8, upright by its EXIF orientation.

    Grey becomes RGB, transparency is dropped; of 16 bits the upper 8 in use count (`BitDepth`).

    Raises:
        FrameError: the file is missing, empty, damaged, no image, or has more than `MAX_PIXELS`.
    """
    path = Path(path)
    data = _read(path, "image")
    try:
        image = ImageDecoder().decode_picture(data)
        with Pillow.open(io.BytesIO(data), formats=_FORMATS) as picture:
            orientation = picture.getexif().get(_ORIENTATION, 1)
        if orientation == 1:
            return image
        lying = Pillow.fromarray(image)
        lying.getexif()[_ORIENTATION] = orientation
        return np.array(ImageOps.exif_transpose(lying))
    except _UNREADABLE as error:
        raise FrameError(f"{path}: this image file cannot be read: {error}") from error


def read_labels(path: str | Path | None, values: Mapping[int, int] = PLAIN) -> Labels:
    """Read ground truth as (H, W) uint8 of 0 normal, 1 anomaly, 255 ignore.

    Args:
        path: an 8-bit picture of one channel or with a palette, whose indices are the labels.
        values: number in the file -> label.

    Raises:
        FrameError: as of `read_image`, or the picture has more than 8 bits, colour, or other
            numbers.
    """
    if path is None:
        raise FrameError("there are no labels for this image")
    path = Path(path)
    raw = _read_raw(path)
    if raw.dtype == np.bool_:
        raw = raw.astype(np.uint8)
    if raw.dtype != np.uint8:
        raise FrameError(
            f"{path}: labels are {raw.dtype} with values up to {raw.max()}; want 8 bits with "
            f"{_listed(values)}"
        )
    if raw.ndim == 3:
        if not (raw[..., :3] == raw[..., :1]).all():
            raise FrameError(
                f"{path}: labels are a colour picture; want one channel with {_listed(values)}"
            )
        raw = raw[..., 0]
    unknown = [int(value) for value in np.unique(raw) if int(value) not in values]
    if unknown:
        raise FrameError(
            f"{path}: labels hold the values {', '.join(map(str, unknown[:8]))}; "
            f"known here are {_listed(values)} (0 normal, 1 anomaly, 255 ignore by default). Say "
            f"what they mean with --labels, such as --labels {unknown[0]}=anomaly"
        )
    table = np.zeros(256, np.uint8)
    for value, meaning in values.items():
        table[value] = meaning
    return np.asarray(table[raw], dtype=np.uint8)


def read_instances(path: Path, labels: Labels) -> InstanceIds:
    """Read the instances of a frame as (H, W) int32 ids, above 0 on anomalous pixels, 0 elsewhere.

    Args:
        path: a picture of one channel of 8 or 16 bits, an id above 0 for each instance. In files
            whose names end with `_instanceIds.png` ids below 1000 are classes, not instances, as
            in Cityscapes.
        labels: (H, W), of the same frame.

    Raises:
        FrameError: as of `read_image`, or the picture has colour or another size.
    """
    raw = _read_raw(path)
    if raw.ndim != 2 or raw.dtype.kind not in "iub":
        raise FrameError(f"{path}: instance ids need one channel of 8 or 16 bits; save them so")
    check_same_size(labels, raw, path)
    ids = raw.astype(np.int32)
    ids[(labels != ANOMALY) | (ids < (1000 if path.name.endswith(CITYSCAPES_IDS) else 1))] = 0
    return ids


def check_same_size(
    image: npt.NDArray[np.generic], labels: npt.NDArray[np.generic], path: Path
) -> None:
    """Raise FrameError unless the labels at `path` have the image's size."""
    if image.shape[:2] != labels.shape:
        raise FrameError(
            f"{path}: labels are {labels.shape[1]}x{labels.shape[0]}, the image is "
            f"{image.shape[1]}x{image.shape[0]}"
        )


def _read_raw(path: Path) -> npt.NDArray[np.generic]:
    """Read the numbers of a label picture."""
    data = _read(path, "labels")
    try:
        picture = Pillow.open(io.BytesIO(data), formats=_FORMATS)
        check_pixels(*picture.size)
        check_work(data, *picture.size)
    except _UNREADABLE as error:
        raise FrameError(f"{path}: this labels file cannot be read: {error}") from error
    with picture:
        if picture.format in ("JPEG", "WEBP"):
            raise FrameError(
                f"{path}: labels must not be {picture.format}, whose compression changes values; "
                "use PNG"
            )
        try:
            return np.asarray(picture)
        except _UNREADABLE as error:
            raise FrameError(f"{path}: the labels are damaged: {error}") from error


def _read(path: Path, what: str) -> bytes:
    try:
        data = read_bytes(path, _MAX_BYTES)
    except FileNotFoundError as error:
        raise FrameError(f"{path}: there is no such {what} file") from error
    except (OSError, ValueError) as error:
        raise FrameError(f"{path}: this {what} file cannot be read: {error}") from error
    if not data:
        raise FrameError(f"{path}: the {what} file is empty (0 bytes)")
    return data


def _listed(values: Mapping[int, int]) -> str:
    known = sorted(values)
    return ", ".join(map(str, known)) if len(known) < 8 else f"{known[0]} to {known[-2]}, 255"
