"""Photographs of `real_roads`: frames with the labels of a teacher, and real obstacles.

A photograph is brought to the pixel count of CamVid's 480x360, as the detector does. The teacher
is trusted outside the boxes, and as far as it is sure (its 255 is ignored).
"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from objectomaly_ros.detectors.embedded import input_shape

from .frames import ROAD, VOID, Cutout, Frame, things_below

U8 = npt.NDArray[np.uint8]
IGNORE = 255
SIZE = 360
# CamVid's class of each Cityscapes train id.
TO_CAMVID = (3, 4, 1, 1, 7, 2, 6, 6, 5, 5, 0, 9, 10, 8, 8, 8, 8, 10, 10)
_TABLE = np.full(256, VOID, np.uint8)
_TABLE[: len(TO_CAMVID)] = TO_CAMVID
ALIKE = 0.93
"""Correlation of two thumbnails from which on they count as the same photograph."""


def load_real(folder: Path) -> dict[str, list[Frame]]:
    """Load the photographs by kind: "obstacle" (with masks), "india", "abroad", "labelled".

    Held-out photographs (see `held_out`) are left out.
    """
    boxes = read_boxes(folder)
    skipped = held_out(folder)
    found: dict[str, list[Frame]] = {"obstacle": [], "india": []}
    names = sorted(path.stem for path in (folder / "images").glob("*.jpg"))
    for name in tqdm([n for n in names if n not in skipped], "real roads", unit="frame"):
        frame = read_frame(folder, name, "teacher", boxes.get(name, []))
        masked = frame.odd is not None and bool((frame.odd == 1).any())
        found["obstacle" if masked else "india"].append(frame)
    for kind, part, labels in (("abroad", "us", "teacher"), ("labelled", "labelled", "labels")):
        paths = sorted((folder / part / "images").glob("*.jpg"))
        found[kind] = [read_frame(folder / part, path.stem, labels, []) for path in paths]
    return found


def read_boxes(folder: Path) -> dict[str, list[tuple[int, int, int, int]]]:
    """Return the boxes (x, y, width, height) of the photographs, by name."""
    boxes = defaultdict(list)
    with (folder / "boxes.csv").open() as file:
        for row in csv.DictReader(file):
            values = (round(float(row[key])) for key in ("x", "y", "width", "height"))
            x, y, width, height = values
            boxes[row["name"]].append((x, y, width, height))
    return boxes


def read_frame(
    folder: Path, name: str, labels: str, boxes: list[tuple[int, int, int, int]]
) -> Frame:
    """Read one photograph; its `odd` is 1 on masks, 255 in boxes, else 0."""
    image = cv2.cvtColor(cv2.imread(str(folder / "images" / f"{name}.jpg")), cv2.COLOR_BGR2RGB)
    label = _TABLE[cv2.imread(str(folder / labels / f"{name}.png"), cv2.IMREAD_GRAYSCALE)]
    odd = np.zeros(label.shape, np.uint8)
    for x, y, width, height in boxes:
        margin = 3 + min(width, height) // 12
        odd[max(0, y - margin) : y + height + margin, max(0, x - margin) : x + width + margin] = 255
    mask_file = folder / "masks" / f"{name}.png"
    if mask_file.exists():
        mask = cv2.imread(str(mask_file), cv2.IMREAD_GRAYSCALE)
        # The outline was not drawn by hand: its rim is doubtful.
        inside = cv2.erode((mask == 1).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        around = cv2.dilate((mask > 0).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        odd = np.where(inside, 1, np.where(around, 255, odd)).astype(np.uint8)
    label[odd > 0] = VOID
    height, width = input_shape(label.shape, SIZE)
    size = (width, height)
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    label, odd = (cv2.resize(m, size, interpolation=cv2.INTER_NEAREST) for m in (label, odd))
    near = things_below(label)
    return Frame(image, label, near, horizon_of(label), odd if odd.any() else None)


def horizon_of(label: U8) -> float:
    """Guess the row of the horizon: a little above the highest row with road."""
    rows = np.nonzero((label == ROAD).mean(axis=1) > 0.01)[0]
    top = float(rows[0]) if len(rows) else 0.5 * label.shape[0]
    return float(np.clip(top - 0.03 * label.shape[0], 0.1 * label.shape[0], 0.65 * label.shape[0]))


def cut_real(frames: list[Frame]) -> list[Cutout]:
    """Cut the masked obstacles out of their photographs, to stand in other streets."""
    cutouts = []
    for frame in frames:
        mask = np.zeros(frame.label.shape, np.uint8) if frame.odd is None else frame.odd == 1
        _, ids, stats, _ = cv2.connectedComponentsWithStats(np.asarray(mask, np.uint8))
        for index, (x, y, width, height, area) in enumerate(stats[1:], start=1):
            if area < 900 or x == 0 or x + width == ids.shape[1] or y + height == ids.shape[0]:
                continue
            part = np.s_[y : y + height, x : x + width]
            alpha = cv2.GaussianBlur((ids[part] == index).astype(np.float32), (0, 0), 0.7)
            cutouts.append(Cutout(frame.image[part].copy(), alpha, 1.1))
    return cutouts


def thumbnails(folder: Path) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Return the photographs' names, and their thumbnails (N, 256) with mean 0 and length 1."""
    paths = sorted((folder / "images").glob("*.jpg"))
    images = [cv2.imread(str(path), cv2.IMREAD_REDUCED_GRAYSCALE_4) for path in paths]
    small = np.stack([cv2.resize(i, (16, 16), interpolation=cv2.INTER_AREA) for i in images])
    flat = small.reshape(len(small), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True) + 1e-6
    return [path.stem for path in paths], flat


def held_out(folder: Path) -> set[str]:
    """Return the names of the photographs that training leaves out.

    They are every fourth photograph with a mask, and whatever looks like one of them.
    """
    names, thumbs = thumbnails(folder)
    masked = sorted(path.stem for path in (folder / "masks").glob("*.png"))
    chosen = [names.index(name) for name in masked[::4]]
    alike = (thumbs @ thumbs[chosen].T).max(axis=1) > ALIKE
    return {name for name, found in zip(names, alike, strict=True) if found}
