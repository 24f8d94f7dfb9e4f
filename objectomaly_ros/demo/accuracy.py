"""How good the scores and the obstacles are, against the drive's ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from objectomaly_ros.bags.images import read_masks, read_scores
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.demo.drive import VisibleObject
from objectomaly_ros.demo.replay import NODE
from objectomaly_ros.demo.truth import FrameTruth, Truth
from objectomaly_ros.evaluation.frames import IGNORE
from objectomaly_ros.evaluation.pixel import PixelAccumulator, PixelMetrics

FOUND_SHARE = 0.3
"""An object counts as found in a frame where ~/mask covers this share of its visible pixels."""
NEAR_M = 30.0


@dataclass(frozen=True)
class ObjectResult:
    """How one unknown object was found.

    Attributes:
        truth_id: its number in the ground truth.
        name: what it is.
        first_found_m: range at which ~/mask first covered it; None if never.
        first_visible_m: range at which it came into view (20 pixels).
        nearest_m: smallest range at which it was seen.
        frames: frames with a ~/mask and it in view, nearer than 30 m.
        frames_found: those in which it was found.
        range_error_m: median of |range in ~/obstacles - true range| where it was matched; None
            without a match.
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
    """Everything that the ground truth can say. Fractions, metres.

    Attributes:
        frames: frames whose two scores were compared with the truth.
        coarse: pixel metrics of ~/coarse_score.
        refined: pixel metrics of ~/score on the same frames.
        objects: one for each unknown object.
        obstacles: entries in ~/obstacles over all frames.
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
    name: str
    visible: list[float] = field(default_factory=list)
    checked: list[float] = field(default_factory=list)
    found: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)


def read_accuracy(result: Bag, truth: Truth) -> Accuracy:
    """Compare a bag of results with the truth, frame by frame, matched by stamps."""
    coarse, refined = (
        _score_metrics(result, f"{NODE}/{n}", truth) for n in ("coarse_score", "score")
    )
    tracks: dict[int, _Track] = {}
    for stamp in sorted(truth.frames):
        for seen in truth.frames[stamp].objects:
            tracks.setdefault(seen.truth_id, _Track(seen.name)).visible.append(seen.range_m)
    if _has(result, "mask"):
        for mask in read_masks(result, f"{NODE}/mask"):
            known = truth.get(mask.stamp_ns)
            for seen in known.objects if known else ():
                inside = mask.array[known.ids == seen.truth_id] if known else np.empty(0)
                tracks[seen.truth_id].checked.append(seen.range_m)
                marked = np.count_nonzero((inside > 0) & (inside != IGNORE))
                if marked >= FOUND_SHARE * seen.pixels:
                    tracks[seen.truth_id].found.append(seen.range_m)
    obstacles, false = _match_obstacles(result, truth, tracks)
    return Accuracy(
        frames=coarse[1],
        coarse=coarse[0],
        refined=refined[0],
        objects=tuple(_result(truth_id, tracks[truth_id]) for truth_id in sorted(tracks)),
        obstacles=obstacles,
        false_obstacles=false,
    )


def _score_metrics(result: Bag, topic: str, truth: Truth) -> tuple[PixelMetrics, int]:
    accumulator, frames = PixelAccumulator(), 0
    if topic in result.topics and result.topics[topic].count:
        for score in read_scores(result, topic):
            known = truth.get(score.stamp_ns)
            if known is not None:
                accumulator.update(score.array, known.labels)
                frames += 1
    return accumulator.compute(), frames


def _match_obstacles(result: Bag, truth: Truth, tracks: dict[int, _Track]) -> tuple[int, int]:
    """Count all and false obstacles; note the range errors of the true ones."""
    total = false = 0
    topic = f"{NODE}/obstacles"
    if not _has(result, "obstacles"):
        return 0, 0
    for raw in result.messages([topic]):
        message = result.decode(raw)
        stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        known = truth.get(stamp)
        if known is None:
            continue
        for obstacle in message.obstacles:
            total += 1
            seen = _touched(obstacle, known)
            if seen is None:
                false += 1
            elif seen.truth_id in tracks and np.isfinite(obstacle.range):
                tracks[seen.truth_id].errors.append(abs(float(obstacle.range) - seen.range_m))
    return total, false


def _touched(obstacle: Any, known: FrameTruth) -> VisibleObject | None:
    """The unknown object that an obstacle's box shares most pixels with.

    A box that meets only pixels of unsure label is true as well; it gets an object without a name.
    """
    box = obstacle.box
    part = known.ids[
        box.y_offset : box.y_offset + box.height, box.x_offset : box.x_offset + box.width
    ]
    shares = np.bincount(part.ravel(), minlength=256)
    best = max(known.objects, key=lambda seen: int(shares[seen.truth_id]), default=None)
    if best is not None and shares[best.truth_id] > 0:
        return best
    return _UNSURE if shares[IGNORE] > 0 else None


_UNSURE = VisibleObject(truth_id=0, name="unsure", range_m=float("nan"), box=(0, 0, 0, 0), pixels=0)


def _has(result: Bag, output: str) -> bool:
    topic = result.topics.get(f"{NODE}/{output}")
    return topic is not None and topic.count > 0


def _result(truth_id: int, track: _Track) -> ObjectResult:
    return ObjectResult(
        truth_id=truth_id,
        name=track.name,
        first_found_m=max(track.found) if track.found else None,
        first_visible_m=max(track.visible),
        nearest_m=min(track.visible),
        frames=_count_near(track.checked),
        frames_found=_count_near(track.found),
        range_error_m=float(np.median(track.errors)) if track.errors else None,
    )


def _count_near(ranges: Sequence[float]) -> int:
    return sum(metres < NEAR_M for metres in ranges)
