"""Learns a normality memory from the images of a normal drive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, runtime_checkable

import cv2
import numpy as np

from objectomaly_ros.detectors.memory.coreset import RARE, Coreset, shown_often
from objectomaly_ros.detectors.memory.nearest import PatchIndex
from objectomaly_ros.detectors.memory.patches import Floats
from objectomaly_ros.detectors.memory.store import Calibration, Memory, fused, trust_in
from objectomaly_ros.obstacles.false_alarms import FalseAlarms
from objectomaly_ros.types import Detection, Image, Mask, ScoreMap

MOST_IMAGES = 600
"""Of more images evenly spaced ones are kept: 0.2 GB."""

SEGMENTS = 5
MOST_PATCHES = 6000

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Seen:
    """What a detector says of an image without a memory, at the resolution of its network.

    Attributes:
        score: (h, w) float32 in [0, 1].
        road: (h, w) bool.
        grid: patches, (rows, columns, D) float32.
        shape: height and width of the image.
    """

    score: ScoreMap
    road: Mask
    grid: Floats
    shape: tuple[int, int]


@runtime_checkable
class Remembers(Protocol):
    """A detector that can use a memory.

    Attributes:
        identity: names the detector and its weights.
        alarm_threshold: score without a memory above which a pixel is an obstacle.
        has_features: its weights give them.
        memory: in use, None for none.
    """

    identity: str
    alarm_threshold: float
    has_features: bool
    memory: Memory | None

    def use(self, memory: Memory | None) -> None:
        """Use a memory from the next image on, or none."""
        ...

    def look(self, image: Image) -> Seen:
        """Return what the detector says of an image."""
        ...


def learn(
    detector: object,
    images: Iterable[Image],
    *,
    false_alarms_per_minute: float = 0.5,
    rate_hz: float = 10.0,
    progress: Progress = lambda step, done, total: None,
) -> Memory:
    """Learn what is normal from images of a drive, in order; one image is enough.

    The threshold comes from the drive itself: each fifth of it is scored with a memory of the other
    four, or, with fewer than 5 images, changed copies of them with the memory. It allows half a
    false obstacle on the drive if that is too short for the wanted rate.

    Args:
        detector: `embedded`.
        images: RGB uint8 (H, W, 3), without obstacles. From 20 images on, what 5 % of them or fewer
            show is not learnt.
        false_alarms_per_minute: for which the threshold is chosen.
        rate_hz: of the images.
        progress: called with the name of a step, and how much of it is done, of how much (0: not
            known).

    Raises:
        TypeError: the detector cannot use a memory.
        ValueError: there is no image, a number is not above 0, or the detector's weights give no
            features.
    """
    if not isinstance(detector, Remembers):
        raise TypeError(f"{type(detector).__name__} cannot use a memory; the detector embedded can")
    if not (false_alarms_per_minute > 0 and rate_hz > 0):
        raise ValueError(
            f"false_alarms_per_minute is {false_alarms_per_minute} and rate_hz is {rate_hz}; "
            "both must be above 0"
        )
    views, probes, every = _look(detector, images, progress)
    few = len(views) < SEGMENTS
    segments = [0 if few else index * SEGMENTS // len(views) for index in range(len(views))]
    parts = _coresets(views, segments, progress)
    probe_segments = [-1] * len(probes) if few else segments
    distances = _distances(parts, probes, probe_segments, progress)
    if len(views) * RARE >= 1:
        reach = _unlikely(distances)
        parts = [shown_often(part, (_grid(view) for view in views), reach) for part in parts]
        distances = _distances(parts, probes, probe_segments, progress)
    area = float(np.mean([(view.score > detector.alarm_threshold).mean() for view in views]))
    calibration = Calibration(
        detector=detector.identity,
        trust=trust_in(area),
        distance=_unlikely(distances),
        threshold=0.5,
        false_alarms_per_minute=float(false_alarms_per_minute),
        images=len(views),
    )
    interval_s = every / rate_hz
    allowed = false_alarms_per_minute * len(probes) * interval_s / 60
    fuse = partial(_detection, calibration=calibration)
    alarms = FalseAlarms([fuse(*pair).score.max() for pair in zip(probes, distances, strict=True)])
    for number, pair in enumerate(zip(probes, distances, strict=True)):
        progress("counting false obstacles", number, len(probes))
        alarms.add(fuse(*pair), number * interval_s)
    threshold = alarms.threshold_for(allowed)
    return Memory(_joined(parts), replace(calibration, threshold=threshold))


def _look(
    detector: Remembers, images: Iterable[Image], progress: Progress
) -> tuple[list[Seen], list[Seen], int]:
    """Return views of the images, views to calibrate on, and which share of the images is used."""
    total = len(images) if isinstance(images, Sequence) else 0
    views: list[Seen] = []
    copies: list[Seen] = []
    every = 1
    for index, image in enumerate(images):
        progress("looking at images", index, total)
        if index % every:
            continue
        views.append(_packed(detector.look(image)))
        if index < SEGMENTS - 1:
            copies += [_packed(detector.look(copy)) for copy in _changed(image)]
        if len(views) > MOST_IMAGES:
            views, every = views[::2], every * 2
    if not views:
        raise ValueError("there is no image to learn from")
    return views, copies if len(views) < SEGMENTS else views, every


def _changed(image: Image) -> list[Image]:
    """Return two copies as a camera would see the place a moment later, in other light."""
    height, width = image.shape[:2]
    dy, dx = max(1, height // 30), max(1, width // 30)
    light = np.linspace(0, 1, 256)[:, None] ** [0.85, 1.2]
    tables = np.rint(255 * light.T).astype(np.uint8)
    parts = image[: height - dy, 2 * dx :], image[dy:, : width - 2 * dx]
    return [table[part] for part, table in zip(parts, tables, strict=True)]


def _coresets(
    views: Sequence[Seen], segments: Sequence[int], progress: Progress
) -> list[PatchIndex]:
    number = max(segments) + 1
    sets = [Coreset(MOST_PATCHES // number) for _ in range(number)]
    for done, (view, segment) in enumerate(zip(views, segments, strict=True)):
        progress("thinning patches", done, len(views))
        sets[segment].add(_grid(view))
    return [one.index for one in sets if one.index is not None]


def _distances(
    parts: Sequence[PatchIndex],
    probes: Sequence[Seen],
    segments: Sequence[int],
    progress: Progress,
) -> list[Floats]:
    """Return the distances of each view's patches from the parts of other segments."""
    others: dict[int, PatchIndex] = {}
    result = []
    for done, (view, segment) in enumerate(zip(probes, segments, strict=True)):
        progress("comparing", done, len(probes))
        if segment not in others:
            others[segment] = _joined(p for index, p in enumerate(parts) if index != segment)
        result.append(others[segment].distances(_grid(view)))
    return result


def _joined(parts: Iterable[PatchIndex]) -> PatchIndex:
    chosen = list(parts)
    return PatchIndex(
        np.concatenate([part.vectors for part in chosen]),
        np.concatenate([part.heights for part in chosen]),
    )


def _packed(view: Seen) -> Seen:
    return replace(view, grid=view.grid.astype(np.float16))


def _grid(view: Seen) -> Floats:
    return view.grid.astype(np.float32)


def _unlikely(distances: Sequence[Floats]) -> float:
    """Return the distance that 1 % of the patches exceed."""
    return float(np.quantile(np.concatenate([far.ravel() for far in distances]), 0.99))


def _detection(view: Seen, distances: Floats, calibration: Calibration) -> Detection:
    """Return what the detector with a memory says of an image, at the image's size."""
    size = view.shape[1], view.shape[0]
    score = fused(view.score, distances, calibration)
    road = cv2.resize(view.road.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return Detection(np.asarray(cv2.resize(score, size), np.float32), road > 0)
