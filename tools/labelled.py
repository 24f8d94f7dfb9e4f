"""Labelled frames of the reference data: FOLDER/images/NAME.jpg and FOLDER/LABELS/NAME.png."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from objectomaly_ros.evaluation.frames import Labels
from objectomaly_ros.types import Image
from tools.command import need


def names(folder: Path) -> list[str]:
    """Return the names of the frames, in order; end the process if there is none."""
    found = sorted(path.stem for path in (folder / "images").glob("*.jpg"))
    if not found:
        need(folder / "images" / "*.jpg")
    return found


def read_labelled(folder: Path, name: str, labels: str = "labels_masks") -> tuple[Image, Labels]:
    """Read a frame: image (H, W, 3) RGB uint8, labels (H, W) uint8 as they are stored."""
    paths = folder / "images" / f"{name}.jpg", folder / labels / f"{name}.png"
    need(*paths)
    image = cv2.cvtColor(cv2.imread(str(paths[0])), cv2.COLOR_BGR2RGB)
    return np.asarray(image), np.asarray(cv2.imread(str(paths[1]), cv2.IMREAD_UNCHANGED))
