"""Folders of score maps: one file an image, found by the image's name, written as they came."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from objectomaly_ros.detectors.precomputed import read_score_map
from objectomaly_ros.types import ScoreMap

SUFFIXES = (".npz", ".npy", ".tif", ".tiff", ".png")
# What programs append to an image's name for its score map.
_ENDINGS = ("", "_score", "_anomaly", "_scores")

__all__ = ["SUFFIXES", "find_score_map", "read_score_map", "write_score_map"]


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
        OSError: it cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        np.savez_compressed(path, score=score)
    elif suffix == ".npy":
        np.save(path, score)
    elif suffix in (".tif", ".tiff", ".png"):
        levels = np.round(np.clip(score, 0, 1) * 65535).astype(np.uint16)
        picture = levels if suffix == ".png" else score
        if not cv2.imwrite(str(path), picture):
            raise OSError(f"{path} cannot be written")
    else:
        raise ValueError(f"{path}: known formats are {', '.join(SUFFIXES)}")
