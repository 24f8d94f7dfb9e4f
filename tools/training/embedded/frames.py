"""Training data, decoded once into memory: frames, their labels, and cut-outs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from tools.labelled import names, read_labelled

U8 = npt.NDArray[np.uint8]
ROAD, PAVEMENT, POLE, TREE, SIGN, FENCE, CAR = 3, 4, 2, 5, 6, 7, 8
PEDESTRIAN, BICYCLIST, VOID = 9, 10, 11
THINGS = (POLE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST)
# By class id, void included: whether `retouch_known` may take it for an object.
STANDING = np.isin(np.arange(VOID + 1), (POLE, SIGN, CAR, PEDESTRIAN, BICYCLIST))
CAMERA_HEIGHT_M = 1.5


@dataclass
class Frame:
    """One labelled street image.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        label: (H, W) uint8, CamVid class ids.
        near: (H, W) int16, the lowest row of the thing (car, person, pole, ...) that covers a
            pixel, else -1: a thing whose lowest row is below an object's foot occludes the object.
        horizon: row of the horizon.
        odd: (H, W) uint8, 1 real obstacle, 255 doubtful, else 0; None for none.
    """

    image: U8
    label: U8
    near: npt.NDArray[np.int16]
    horizon: float
    odd: U8 | None = None


@dataclass
class Cutout:
    """One object with a soft matte: (h, w, 3) uint8 RGB and (h, w) float32 alpha in [0, 1].

    Attributes:
        height_m: height in metres.
        label: CamVid class of an in-distribution object, None of an outlier.
    """

    rgb: U8
    alpha: npt.NDArray[np.float32]
    height_m: float
    label: int | None = None


def load_frames(split: Path, skip: set[str]) -> list[Frame]:
    """Load the frames of a CamVid split except those named in `skip`."""
    chosen = [name for name in names(split) if name not in skip]
    pairs = [read_labelled(split, name, "labels") for name in tqdm(chosen, "frames", unit="frame")]
    labels = [label for _, label in pairs]
    sequences = [name.split("_")[0] for name in chosen]
    horizons = {
        name: _horizon([x for x, s in zip(labels, sequences, strict=True) if s == name])
        for name in sorted(set(sequences))
    }
    print("horizon rows:", {name: round(row) for name, row in horizons.items()})
    return [
        Frame(image, label, things_below(label), horizons[sequence])
        for (image, label), sequence in zip(pairs, sequences, strict=True)
    ]


def _components(label: U8, class_id: int) -> tuple[Any, Any]:
    mask = (label == class_id).astype(np.uint8)
    _, ids, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    return ids, stats


def _horizon(labels: list[U8]) -> float:
    # Cars are about as high as the camera: their roofs reach the horizon.
    tops = []
    for label in labels:
        _, stats = _components(label, CAR)
        tops += [s[1] for s in stats[1:] if s[4] > 500 and s[1] > 60]
    return float(np.median(tops)) if tops else 0.45 * labels[0].shape[0]


def things_below(label: U8) -> npt.NDArray[np.int16]:
    """Return `Frame.near` of a label map."""
    near = np.full(label.shape, -1, np.int16)
    for class_id in THINGS:
        ids, stats = _components(label, class_id)
        lowest = (stats[:, 1] + stats[:, 3] - 1).astype(np.int16)
        lowest[0] = -1
        near = np.maximum(near, lowest[ids])
    return near


def mix_frames(frame: Frame, other: Frame, rng: np.random.Generator) -> Frame:
    """Paste some classes of another frame into this one, at the same place.

    ClassMix (Olsson et al., WACV 2021): known things alone, but with the edges of pasting.
    """
    chosen = rng.random(256) < 0.4
    chosen[[ROAD, VOID]] = False
    mask = chosen[other.label]
    alpha = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.6)[..., None]
    return Frame(
        (frame.image + (other.image.astype(np.float32) - frame.image) * alpha).astype(np.uint8),
        np.where(mask, other.label, frame.label),
        np.where(mask, other.near, frame.near),
        frame.horizon,
        frame.odd,
    )


def load_outliers(folder: Path) -> list[Cutout]:
    """Load the cut-outs of `ood_objects` (RGBA PNG), trimmed, at most 320 px a side."""
    cutouts = []
    for path in sorted(folder.glob("*.png")):
        bgra = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        rows, columns = np.nonzero(bgra[..., 3] > 16)
        bgra = bgra[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        scale = min(1.0, 320 / max(bgra.shape[:2]))
        bgra = cv2.resize(bgra, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        rgb = cv2.cvtColor(np.ascontiguousarray(bgra[..., :3]), cv2.COLOR_BGR2RGB)
        cutouts.append(Cutout(rgb, bgra[..., 3].astype(np.float32) / 255, 0.9))
    if not cutouts:
        raise FileNotFoundError(f"no cut-out *.png in {folder}")
    return cutouts


def cut_known(frames: list[Frame]) -> list[Cutout]:
    """Cut the cars, pedestrians and bicyclists out of the frames.

    Pasted like the outliers but with their own class, they teach that a paste is no anomaly.
    """
    cutouts = []
    for frame in frames:
        for class_id, least in ((CAR, 400), (PEDESTRIAN, 120), (BICYCLIST, 200)):
            ids, stats = _components(frame.label, class_id)
            for index in range(1, len(stats)):
                x, y, w, h, area = stats[index]
                bottom = y + h
                touches = x == 0 or x + w == ids.shape[1] or bottom >= ids.shape[0] - 2
                if area < least or touches or bottom < frame.horizon + 8:
                    continue
                mask = (ids[y : y + h, x : x + w] == index).astype(np.float32)
                alpha = cv2.GaussianBlur(np.pad(mask, 2), (0, 0), 0.7)
                rgb = cv2.copyMakeBorder(frame.image[y : y + h, x : x + w], 2, 2, 2, 2, 1)
                height = h / (bottom - frame.horizon) * CAMERA_HEIGHT_M
                cutouts.append(Cutout(rgb, alpha, float(np.clip(height, 0.5, 3.5)), class_id))
    return cutouts
