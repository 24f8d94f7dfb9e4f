"""Compares scores and obstacles with the drive's ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from objectomaly_ros.demo.birds_eye import FreeRoad, FreeRoadMeter
from objectomaly_ros.demo.drive.render import FrameTruth, Truth, VisibleObject
from objectomaly_ros.demo.frames import ResultFrame
from objectomaly_ros.evaluation.frames import IGNORE
from objectomaly_ros.evaluation.pixel import PixelAccumulator, PixelMetrics

FOUND_SHARE = 0.3
"""An object is found in a frame if ~/mask covers this share of its visible pixels."""
STEADY_SHARE, STEADY_FRAMES = 0.9, 3
"""An object is found from the frame on from which these many and this share of frames find it."""
NEAR_M = 30.0
_UNSURE = VisibleObject(truth_id=0, name="unsure", range_m=float("nan"), box=(0, 0, 0, 0), pixels=0)


@dataclass(frozen=True)
class ObjectResult:
    """How one unknown object was found.

    Attributes:
        truth_id: its number in the ground truth.
        name: what it is.
        found_from_m: range from which on it was found in nearly every frame; None if never.
        found_from_s: seconds of the drive at that range.
        first_visible_m: range at which it came into view (20 pixels).
        nearest_m: smallest range at which it was seen.
        frames: frames with a ~/mask in which it was nearer than 30 m.
        frames_found: those in which it was found.
        range_error_m: median of |range in ~/obstacles - true range| in the frames in which it was
            found; None without a range.
    """

    truth_id: int
    name: str
    found_from_m: float | None
    found_from_s: float | None
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
        range_error: median of |range in ~/obstacles - true range| / true range, of the found
            objects nearer than 30 m; None without a range.
        free_road: the rays of ~/free.
    """

    frames: int
    coarse: PixelMetrics
    refined: PixelMetrics
    objects: tuple[ObjectResult, ...]
    obstacles: int
    false_obstacles: int
    range_error: float | None
    free_road: FreeRoad


@dataclass
class _Track:
    """An object: ranges (m) at which it was visible; frames with a mask; errors of its range."""

    name: str
    visible: list[float] = field(default_factory=list)
    checked: list[tuple[int, float, bool]] = field(default_factory=list)  # stamp, range, found
    errors: list[float] = field(default_factory=list)


class AccuracyMeter:
    """Compares frames with the truth of their stamps (ns), one by one."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._coarse, self._refined = PixelAccumulator(), PixelAccumulator()
        self._frames = self._obstacles = self._false = 0
        self._relative: list[float] = []
        self._free = FreeRoadMeter(truth)
        self._tracks: dict[int, _Track] = {}
        for known in truth.values():
            for seen in known.objects:
                track = self._tracks.setdefault(seen.truth_id, _Track(seen.name))
                track.visible.append(seen.range_m)

    def add(self, frame: ResultFrame) -> None:
        """Count a frame; one without truth does not count."""
        known = self._truth.get(frame.stamp_ns)
        if known is None:
            return
        labels = known.labels
        self._frames += 1
        self._refined.update(frame.score, labels)
        if frame.coarse is not None:
            self._coarse.update(frame.coarse, labels)
        covered = {} if frame.mask is None else self._look_under(frame.mask, frame.stamp_ns, known)
        found = {number for number, share in covered.items() if share >= FOUND_SHARE}
        self._match(frame.obstacles, known, found)
        self._free.add(frame, covered)

    def _look_under(
        self, mask: npt.NDArray[np.uint8], stamp_ns: int, known: FrameTruth
    ) -> dict[int, float]:
        """Note which objects lie under the mask, and return the shares that it covers."""
        covered = {}
        for seen in known.objects:
            inside = mask[known.ids == seen.truth_id]
            marked = np.count_nonzero((inside > 0) & (inside != IGNORE))
            share = covered[seen.truth_id] = float(marked / seen.pixels)
            here = stamp_ns, seen.range_m, share >= FOUND_SHARE
            self._tracks[seen.truth_id].checked.append(here)
        return covered

    def compute(self) -> Accuracy:
        """Return the figures of all frames so far."""
        return Accuracy(
            self._frames,
            self._coarse.compute(),
            self._refined.compute(),
            tuple(
                _result(number, self._tracks[number], min(self._truth))
                for number in sorted(self._tracks)
            ),
            self._obstacles,
            self._false,
            float(np.median(self._relative)) if self._relative else None,
            self._free.compute(),
        )

    def _match(self, obstacles: Sequence[Any], known: FrameTruth, found: set[int]) -> None:
        """Count all and false obstacles; note the range errors of the found objects."""
        for obstacle in obstacles:
            self._obstacles += 1
            touched = _touched(obstacle, known)
            if touched is None:
                self._false += 1
            elif touched.truth_id in found and np.isfinite(obstacle.range):
                error = abs(float(obstacle.range) - touched.range_m)
                self._tracks[touched.truth_id].errors.append(error)
                if touched.range_m < NEAR_M:
                    self._relative.append(error / touched.range_m)


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


def _result(truth_id: int, track: _Track, start_ns: int) -> ObjectResult:
    steady = _found_from(track.checked)
    return ObjectResult(
        truth_id=truth_id,
        name=track.name,
        found_from_m=None if steady is None else steady[1],
        found_from_s=None if steady is None else (steady[0] - start_ns) / 1e9,
        first_visible_m=max(track.visible),
        nearest_m=min(track.visible),
        frames=sum(metres < NEAR_M for _, metres, _ in track.checked),
        frames_found=sum(metres < NEAR_M and found for _, metres, found in track.checked),
        range_error_m=float(np.median(track.errors)) if track.errors else None,
    )


def _found_from(checked: Sequence[tuple[int, float, bool]]) -> tuple[int, float] | None:
    """Return stamp and range of the first frame from which on an object is found steadily."""
    for index, (stamp, metres, found) in enumerate(checked[: 1 - STEADY_FRAMES]):
        rest = checked[index:]
        if found and sum(part[2] for part in rest) >= STEADY_SHARE * len(rest):
            return stamp, metres
    return None
