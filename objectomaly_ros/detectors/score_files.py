"""Folders of score maps: one file an image, found by the image's name, written as they came."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.files.writing import open_replacing
from objectomaly_ros.types import ScoreMap

SUFFIXES = (".npz", ".npy", ".tif", ".tiff", ".png")
# What programs append to an image's name for its score map.
_ENDINGS = ("", "_score", "_anomaly", "_scores")


def find_score_map(folder: str | Path, name: str) -> Path:
    """Return the score map of the image called `name` (without its suffix; may hold subfolders).

    Raises:
        FileNotFoundError: there is none; says what was looked for.
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

    .npz (array `score`), .npy and .tif keep float32 as it is. .png has 16 bits for 0..1, as
    `read_score_map` reads it, and clips what lies outside.

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


_KEYS = ("score", "anomaly", "arr_0")


def read_score_map(path: str | Path, key: str | None = None) -> ScoreMap:
    """Read a score map.

    Args:
        path: .npy; .npz with one array, or one called `score` or `anomaly`; .png of 8 or 16 bits,
            which is scaled to 0..1; .tif of floats as they are, or of integers scaled alike.
        key: which array of an .npz that holds several.

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
    values = np.squeeze(values)
    if values.ndim != 2 or values.dtype.kind not in "fiub":
        raise ValueError(f"{path} holds {values.shape} {values.dtype}; a score map is (H, W)")
    score = np.ascontiguousarray(values, dtype=np.float32)
    if not np.isfinite(score).all():
        raise ValueError(f"{path} holds values that are not finite")
    return score


def _read_array(path: Path, wanted: str | None) -> npt.NDArray[np.generic]:
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        with content:
            if wanted is not None and wanted not in content:
                raise ValueError(f"it has no array {wanted!r}, only {', '.join(content.files)}")
            keys = [wanted] if wanted else [key for key in _KEYS if key in content] or list(content)
            if not wanted and len(content.files) > 1 and keys[0] not in _KEYS:
                raise ValueError(f"its arrays are {', '.join(content.files)}; name one `score`")
            array: npt.NDArray[np.generic] = content[keys[0]]
            return array
    except (ValueError, EOFError, OSError, IndexError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a score map: {error}") from error


def _read_picture(path: Path) -> npt.NDArray[np.generic]:
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path} is no score map; known are {', '.join(SUFFIXES)}")
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise ValueError(f"{path} cannot be read as a picture")
    if picture.dtype.kind == "f":
        return picture
    top = np.iinfo(str(picture.dtype)).max
    scaled: npt.NDArray[np.float32] = picture.astype(np.float32) / np.float32(top)
    return scaled
