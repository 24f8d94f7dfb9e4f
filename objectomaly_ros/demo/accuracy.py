"""Compares scores and obstacles with the drive's ground truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from objectomaly_ros.bags.images import read_masks, read_scores
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.demo.drive.render import FrameTruth, Truth, VisibleObject
from objectomaly_ros.demo.replay import NODE
from objectomaly_ros.demo.timing import header_stamp_ns
from objectomaly_ros.evaluation.frames import IGNORE
from objectomaly_ros.evaluation.pixel import PixelAccumulator, PixelMetrics

FOUND_SHARE = 0.3
"""An object is found in a frame if ~/mask covers this share of its visible pixels."""
NEAR_M = 30.0
_UNSURE = VisibleObject(truth_id=0, name="unsure", range_m=float("nan"), box=(0, 0, 0, 0), pixels=0)


@dataclass(frozen=True)
class ObjectResult:
    """How one unknown object was found.

    Attributes:
        truth_id: its number in the ground truth.
        name: what it is.
        first_found_m: range at which ~/mask first covered it; None if never.
        first_visible_m: range at which it came into view (20 pixels).
        nearest_m: smallest range at which it was seen.
        frames: frames with a ~/mask in which it was nearer than 30 m.
        frames_found: those in which it was found.
        range_error_m: median of |range in ~/obstacles - true range|; None if it was never matched.
    """

    truth_id: int
    name: str
    first_found_m: float | None
    first_visible_m: float
    nearest_m: float
    frames: int
    frames_found: int
    range_error_m: float | None


@dataclass(frozen=True)
class Accuracy:
    """Scores and obstacles against the ground truth. Fractions, metres.

    Attributes:
        frames: frames whose scores were compared.
        coarse: pixel metrics of ~/coarse_score.
        refined: pixel metrics of ~/score on the same frames.
        objects: one for each unknown object.
        obstacles: entries of ~/obstacles over all frames.
        false_obstacles: those that touch no unknown object.
    """

    frames: int
    coarse: PixelMetrics
    refined: PixelMetrics
    objects: tuple[ObjectResult, ...]
    obstacles: int
    false_obstacles: int


@dataclass
class _Track:
    """Ranges (m) at which an object was visible, under a mask, found; errors of its range."""

    name: str
    visible: list[float] = field(default_factory=list)
    checked: list[float] = field(default_factory=list)
    found: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)


def read_accuracy(result: Bag, truth: Truth) -> Accuracy:
    """Compare a bag of results with the truth of every stamp (ns)."""
    frames, coarse = _score_metrics(result, f"{NODE}/coarse_score", truth)
    _, refined = _score_metrics(result, f"{NODE}/score", truth)
    tracks: dict[int, _Track] = {}
    for known in truth.values():
        for seen in known.objects:
            tracks.setdefault(seen.truth_id, _Track(seen.name)).visible.append(seen.range_m)
    if result.count(f"{NODE}/mask"):
        for mask in read_masks(result, f"{NODE}/mask"):
            if mask.stamp_ns not in truth:
                continue
            known = truth[mask.stamp_ns]
            for seen in known.objects:
                track, inside = tracks[seen.truth_id], mask.array[known.ids == seen.truth_id]
                track.checked.append(seen.range_m)
                marked = np.count_nonzero((inside > 0) & (inside != IGNORE))
                if marked >= FOUND_SHARE * seen.pixels:
                    track.found.append(seen.range_m)
    obstacles, false = _match_obstacles(result, truth, tracks)
    objects = tuple(_result(truth_id, tracks[truth_id]) for truth_id in sorted(tracks))
    return Accuracy(frames, coarse, refined, objects, obstacles, false)


def _score_metrics(result: Bag, topic: str, truth: Truth) -> tuple[int, PixelMetrics]:
    accumulator, frames = PixelAccumulator(), 0
    for score in read_scores(result, topic) if result.count(topic) else ():
        if score.stamp_ns in truth:
            accumulator.update(score.array, truth[score.stamp_ns].labels)
            frames += 1
    return frames, accumulator.compute()


def _match_obstacles(result: Bag, truth: Truth, tracks: dict[int, _Track]) -> tuple[int, int]:
    """Count all and false obstacles; note the range errors of the true ones."""
    total = false = 0
    topic = f"{NODE}/obstacles"
    for raw in result.messages([topic]) if result.count(topic) else ():
        known = truth.get(header_stamp_ns(raw.data))
        for obstacle in result.decode(raw).obstacles if known else ():
            total += 1
            seen = _touched(obstacle, known) if known else None
            if seen is None:
                false += 1
            elif seen.truth_id in tracks and np.isfinite(obstacle.range):
                tracks[seen.truth_id].errors.append(abs(float(obstacle.range) - seen.range_m))
    return total, false


def _touched(obstacle: Any, known: FrameTruth) -> VisibleObject | None:
    """Return the object that shares most pixels with an obstacle's box.

    A box that meets unsure pixels alone counts as true: it gets an object without a name.
    """
    box = obstacle.box
    rows = slice(box.y_offset, box.y_offset + box.height)
    columns = slice(box.x_offset, box.x_offset + box.width)
    shares = np.bincount(known.ids[rows, columns].ravel(), minlength=256)
    best = max(known.objects, key=lambda seen: int(shares[seen.truth_id]), default=None)
    if best is not None and shares[best.truth_id] > 0:
        return best
    return _UNSURE if shares[IGNORE] > 0 else None


def _result(truth_id: int, track: _Track) -> ObjectResult:
    return ObjectResult(
        truth_id=truth_id,
        name=track.name,
        first_found_m=max(track.found, default=None),
        first_visible_m=max(track.visible),
        nearest_m=min(track.visible),
        frames=sum(metres < NEAR_M for metres in track.checked),
        frames_found=sum(metres < NEAR_M for metres in track.found),
        range_error_m=float(np.median(track.errors)) if track.errors else None,
    )
