"""Trials of a detector: labelled frames as they are, the same in bad light, and real obstacles.

The conditions are plain formulas on pixel values. The training draws its weather and cameras
otherwise (`weather`, `sensor`), so that it does not know them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.evaluation.frames import Labels
from objectomaly_ros.types import Image
from tools.labelled import names, read_labelled

from .real_frames import held_out, read_boxes

F32 = npt.NDArray[np.float32]
Change = Callable[[F32, np.random.Generator], F32]


def _night(x: F32, rng: np.random.Generator) -> F32:
    """Dark blue, lit in the lower middle, with four lamps and noise."""
    height, width = x.shape[:2]
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    beam = np.exp(-(((xs / width - 0.5) / 0.3) ** 2) - ((ys / height - 0.75) / 0.25) ** 2)
    x = x**1.6 * (0.12 * np.array([0.7, 0.8, 1.0]) + 0.5 * beam[..., None])
    for _ in range(4):
        at = rng.uniform(0, width), rng.uniform(0.1, 0.45) * height
        spot = np.exp(-((xs - at[0]) ** 2 + (ys - at[1]) ** 2) / (2 * rng.uniform(2, 9) ** 2))
        x = x + spot[..., None] * np.array([1.0, 0.85, 0.6])
    return np.asarray(x + rng.normal(0, 0.02, x.shape), np.float32)


def _motion(x: F32, rng: np.random.Generator) -> F32:
    return np.asarray(cv2.blur(x, (9, 1)), np.float32)


def _jpeg(x: F32, rng: np.random.Generator) -> F32:
    codes = np.clip(x * 255, 0, 255).astype(np.uint8)
    data = cv2.imencode(".jpg", codes, [cv2.IMWRITE_JPEG_QUALITY, 20])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.float32) / 255


def _fog(x: F32, rng: np.random.Generator) -> F32:
    height = len(x)
    seen = np.clip((np.arange(height) / height - 0.35) / 0.5, 0.15, 0.9).astype(np.float32)
    return np.asarray(x * seen[:, None, None] + 0.75 * (1 - seen[:, None, None]), np.float32)


def _small(x: F32, rng: np.random.Generator) -> F32:
    half = cv2.resize(x, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(half, x.shape[1::-1]), np.float32)


def _grey(x: F32, rng: np.random.Generator) -> F32:
    return np.repeat(x.mean(axis=2, keepdims=True), 3, axis=2)


CONDITIONS: dict[str, Change] = {
    "night": _night,
    "dark": lambda x, rng: x**2.2 * 0.6,
    "bright": lambda x, rng: x**0.5 * 1.15,
    "low contrast": lambda x, rng: x * 0.45 + 0.3,
    "noise": lambda x, rng: np.asarray(x + rng.normal(0, 0.05, x.shape), np.float32),
    "poor JPEG": _jpeg,
    "cold": lambda x, rng: x * np.array([0.7, 0.95, 1.2], np.float32),
    "warm": lambda x, rng: x * np.array([1.2, 0.95, 0.65], np.float32),
    "grey": _grey,
    "fog": _fog,
    "motion blur": _motion,
    "small image": _small,
}


def changed(image: Image, name: str, condition: str) -> Image:
    """Return an image under a condition; the same for the same name."""
    rng = np.random.default_rng(zlib.crc32(f"{condition} {name}".encode()))
    light = CONDITIONS[condition](image.astype(np.float32) / 255, rng)
    return np.asarray(np.clip(light * 255 + 0.5, 0, 255), np.uint8)


def labelled(folder: Path, condition: str | None = None) -> Iterator[tuple[Image, Labels]]:
    """Yield the frames of a street_ood folder, under a condition if one is given."""
    for name in names(folder):
        image, label = read_labelled(folder, name)
        yield image if condition is None else changed(image, name, condition), label


def real_obstacles(folder: Path) -> Iterator[tuple[Image, Labels]]:
    """Yield the photographs of `real_roads` that training leaves out and that have a mask."""
    boxes = read_boxes(folder)
    for name in sorted(held_out(folder)):
        if not (folder / "masks" / f"{name}.png").exists():
            continue
        image, label = read_labelled(folder, name, "masks")
        label = label.copy()
        for x, y, width, height in boxes[name]:
            part = label[max(0, y) : y + height, max(0, x) : x + width]
            if not (part == 1).any():
                part[part == 0] = 255
        yield image, label
