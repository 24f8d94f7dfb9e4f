"""Score maps in files: one per image, found by the image's name."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from tokenize import TokenError
from typing import IO

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.arrays.checks import MAX_SCORE
from objectomaly_ros.arrays.image_messages import imdecode
from objectomaly_ros.files.picture_size import MAX_PIXELS
from objectomaly_ros.files.reading import read_bytes
from objectomaly_ros.files.writing import open_replacing
from objectomaly_ros.types import Image, ScoreMap

SUFFIXES = (".npz", ".npy", ".tif", ".tiff", ".png")
# Programs append these to an image's name.
_ENDINGS = ("", "_score", "_anomaly", "_scores")


def find_score_map(folder: str | Path, name: str) -> Path:
    """Return the score map of the image `name` (without suffix, may include subfolders).

    Raises:
        FileNotFoundError: there is none.
        ValueError: there are several.
    """
    folder = Path(folder)
    found = [
        path
        for ending in _ENDINGS
        for suffix in SUFFIXES
        if (path := folder / f"{name}{ending}{suffix}").is_file()
    ]
    if not found:
        raise FileNotFoundError(
            f"there is no score map for {name} in {folder} (looked for {name} with "
            f"{', '.join(SUFFIXES)})"
        )
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ValueError(f"there are several score maps for {name} in {folder}: {names}")
    return found[0]


def write_score_map(path: str | Path, score: ScoreMap) -> None:
    """Write a score map in the format of the suffix.

    .npz (array `score`), .npy and .tif keep float32. .png has 16 bits for 0..1, and clips scores
    outside.

    Args:
        path: of the file; its folder is made.
        score: (H, W) float32.

    Raises:
        ValueError: the suffix is unknown.
        OSError: it cannot be written; an older file at `path` stays.
    """
    suffix, content = Path(path).suffix.lower(), io.BytesIO()
    if suffix == ".npz":
        np.savez_compressed(content, score=score)
    elif suffix == ".npy":
        np.save(content, score)
    elif suffix in (".tif", ".tiff", ".png"):
        levels = np.round(np.clip(score, 0, 1) * 65535).astype(np.uint16)
        _, encoded = cv2.imencode(suffix, levels if suffix == ".png" else score)
        content.write(encoded.tobytes())
    else:
        raise ValueError(f"{path}: known formats are {', '.join(SUFFIXES)}")
    with open_replacing(path) as file:
        file.write(content.getbuffer())


_MAX_STRETCH = 1.1  # networks round sizes up to multiples of 32 or 64
_KEYS = ("score", "anomaly", "arr_0")
_MAX_BYTES = 8 * MAX_PIXELS
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_score_map(path: str | Path, key: str | None = None) -> ScoreMap:
    """Read a score map.

    Args:
        path: .npy; .npz with one array, or one called `score` or `anomaly`; .png or .tif, of which
            integers are scaled to 0..1.
        key: name of the array in an .npz that holds several.

    Returns:
        (H, W) float32.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it cannot be read as a map, or holds values that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no score map at {path}")
    arrays = path.suffix.lower() in (".npy", ".npz")
    values = _read_array(path, key) if arrays else _read_picture(path)
    values = values if values.ndim == 2 else np.squeeze(values)
    if values.ndim != 2 or values.dtype.kind not in "fiub" or not values.size:
        raise ValueError(f"{path} holds {values.shape} {values.dtype}; a score map is (H, W)")
    score = np.ascontiguousarray(values, dtype=np.float32)
    if not (np.abs(score) < MAX_SCORE).all():
        raise ValueError(f"{path} holds values that are not finite, or not below {MAX_SCORE:g}")
    return score


def fitted(score: ScoreMap, image: Image, *, resize: bool, hint: str) -> ScoreMap:
    """Return a map that has the image's size, (H, W) float32.

    Args:
        score: (h, w) float32.
        image: its image, (H, W, 3).
        resize: scale a map of another size, bilinearly, if its proportions are the image's.
        hint: how to ask for that.

    Raises:
        ValueError: it has another size; the message continues a sentence about the map.
    """
    height, width = image.shape[:2]
    if score.shape == (height, width):
        return score
    sizes = f"is {score.shape[1]}x{score.shape[0]}, the image {width}x{height}"
    if not resize:
        raise ValueError(f"{sizes}; {hint} scales such maps")
    stretch = (width / score.shape[1]) / (height / score.shape[0])
    if not 1 / _MAX_STRETCH < stretch < _MAX_STRETCH:
        raise ValueError(f"{sizes}: these are other proportions, is it another image's?")
    return np.asarray(cv2.resize(score, (width, height)), np.float32)


def _read_array(path: Path, wanted: str | None) -> npt.NDArray[np.generic]:
    data = io.BytesIO(read_bytes(path, _MAX_BYTES))
    try:
        if not zipfile.is_zipfile(data):
            data.seek(0)
            return _parse_npy(data)
        with zipfile.ZipFile(data) as archive:
            names = {name.removesuffix(".npy"): name for name in archive.namelist()}
            if wanted is not None and wanted not in names:
                raise ValueError(f"it has no array {wanted!r}, only {_some(names)}")
            keys = [wanted] if wanted else [key for key in _KEYS if key in names] or list(names)
            if not keys or (not wanted and len(names) > 1 and keys[0] not in _KEYS):
                raise ValueError(
                    f"its arrays are {_some(names)}; choose one: --key NAME (for the detector "
                    "`precomputed` the option key=NAME), or name one `score`"
                )
            with archive.open(names[keys[0]]) as member:
                return _parse_npy(member)
    except Exception as error:  # damaged bytes raise what they lead to
        raise ValueError(f"{path} is not a score map: {error}") from error


def _some(names: Iterable[str]) -> str:
    return ", ".join(islice(names, 8))


def _parse_npy(file: IO[bytes]) -> npt.NDArray[np.generic]:
    """Read an array of numbers, whose size is checked before memory is taken."""
    try:
        version = np.lib.format.read_magic(file)
        if version in _HEADERS:
            shape, fortran, dtype = _HEADERS[version](file)
    except (ValueError, SyntaxError, TokenError) as error:  # NumPy may advise to trust the file
        raise ValueError("it is damaged, or no .npy file") from error
    if version not in _HEADERS:
        raise ValueError(f"its .npy version is {version}; known are 1.0 and 2.0")
    count = math.prod(shape)
    if dtype.kind not in "fiub" or min(shape, default=1) < 0 or count * dtype.itemsize > _MAX_BYTES:
        raise ValueError(f"it claims {shape} {dtype}; a score map is (H, W) numbers")
    values = np.frombuffer(file.read(count * dtype.itemsize), dtype, count)
    return values.reshape(shape, order="F" if fortran else "C")


def _read_picture(path: Path) -> npt.NDArray[np.generic]:
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path} is no score map; known are {', '.join(SUFFIXES)}")
    data = read_bytes(path, _MAX_BYTES)
    try:
        picture = imdecode(data, cv2.IMREAD_UNCHANGED)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as a picture: {error}") from error
    if picture.dtype.kind == "f":
        return picture
    top = np.iinfo(str(picture.dtype)).max
    scaled: npt.NDArray[np.float32] = picture.astype(np.float32) / np.float32(top)
    return scaled
