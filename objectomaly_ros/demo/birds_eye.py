"""Compares ~/points and ~/free with the drive's ground truth, seen from above."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.demo.drive.render import Truth, VisibleObject
from objectomaly_ros.demo.frames import ResultFrame
from objectomaly_ros.types import Image

GRAZE_M = 0.2
"""A ray that crosses less of an object passes it by."""
BEHIND = 0.05
"""A ray that ends behind an object by less than this share of its length ends at it: the range of
the object is not exact."""
WHOLE_SHARE, PART_SHARE = 0.9, 0.3
"""An object is seen whole, or in part, if ~/mask covers these shares of its visible pixels."""

_AHEAD_M, _ASIDE_M, _SCALE = 32, 10, 15  # shown; pixels a metre
_GROUND, _RING, _FREE = (30, 30, 34), (78, 78, 84), (52, 104, 60)
_POST, _TRUTH, _TEXT = (255, 84, 60), (255, 255, 255), (225, 225, 225)
_MOST_PANELS = 4


@dataclass(frozen=True)
class FreeRoad:
    """The rays of ~/free of all frames.

    Attributes:
        frames: frames with a free ray.
        rays: number of all rays.
        through: those that cross an object of the truth that the node sees whole, and end behind
            it. Objects that the border of the image cuts do not count.
        through_parts: the same of objects that it sees in part: rays through what it misses.
        median_m: median length of the longest ray of each frame; None without rays.
    """

    frames: int
    rays: int
    through: int
    through_parts: int
    median_m: float | None


class FreeRoadMeter:
    """Counts rays, frame by frame."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._rays = self._through = self._parts = 0
        self._longest: list[float] = []

    def add(self, frame: ResultFrame, covered: Mapping[int, float]) -> None:
        """Take the free rays of a frame.

        Args:
            frame: its stamp is one of the truth.
            covered: share of the visible pixels of each object that ~/mask covers.
        """
        if not len(frame.free):
            return
        self._rays += len(frame.free)
        self._longest.append(float(np.hypot(*frame.free.T).max()))
        through, parts = np.zeros((2, len(frame.free)), np.bool_)
        known = self._truth[frame.stamp_ns]
        for seen in known.objects:
            share = covered.get(seen.truth_id, 0.0)
            if share >= PART_SHARE and len(seen.outline) > 2 and _is_inside(seen, known.ids):
                crossed = through if share >= WHOLE_SHARE else parts
                crossed |= passes_through(frame.free, np.array(seen.outline))
        self._through += int(through.sum())
        self._parts += int((parts & ~through).sum())

    def compute(self) -> FreeRoad:
        """Return the figures of all frames so far."""
        longest = float(np.median(self._longest)) if self._longest else None
        return FreeRoad(len(self._longest), self._rays, self._through, self._parts, longest)


def _is_inside(seen: VisibleObject, ids: npt.NDArray[np.uint8]) -> bool:
    x, y, width, height = seen.box
    return x > 0 and x + width < ids.shape[1] and y + height < ids.shape[0]


def passes_through(
    ends: npt.NDArray[np.float64], outline: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Return which rays from the origin cross an outline and end behind it, (N,) bool.

    GRAZE_M and BEHIND say from when on.

    Args:
        ends: their ends x, y, (N, 2).
        outline: corners x, y of a convex polygon, counter-clockwise, (M, 2).
    """
    lengths = np.hypot(*ends.T)
    directions = ends / np.maximum(lengths, 1e-9)[:, None]
    sides = np.roll(outline, -1, axis=0) - outline
    inward = np.column_stack([-sides[:, 1], sides[:, 0]])
    rate = directions @ inward.T  # the ray enters over edges with a positive rate
    offset = (inward * outline).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = offset / rate
    enters = np.where(rate > 0, at, -np.inf).max(axis=1)
    leaves = np.where(rate < 0, at, np.inf).min(axis=1)
    beside = ((rate == 0) & (offset > 0)).any(axis=1)
    crosses = leaves - np.maximum(enters, 0) > GRAZE_M
    return np.asarray(crosses & (lengths > (1 + BEHIND) * leaves) & ~beside)


class BirdsEye:
    """Pictures of chosen frames from above, side by side.

    Args:
        stamps: of the frames.
        truth: None for a drive without.
    """

    def __init__(self, stamps: Sequence[int], truth: Truth | None) -> None:
        some = list(stamps)[:: max(1, -(-len(stamps) // _MOST_PANELS))]
        self._stamps = set(some)
        self._truth: Mapping[int, object] | Truth = truth or {}
        self._panels: list[Image] = []

    def add(self, frame: ResultFrame) -> None:
        """Draw a frame if it is a chosen one and the node has placed something in it."""
        if frame.stamp_ns in self._stamps and (len(frame.free) or len(frame.points)):
            known = self._truth.get(frame.stamp_ns)
            objects = getattr(known, "objects", ())
            self._panels.append(_panel(frame, objects))

    @property
    def picture(self) -> Image | None:
        """(H, W, 3) uint8 RGB; None without frames."""
        return np.hstack(self._panels) if self._panels else None


def _panel(frame: ResultFrame, objects: Sequence[VisibleObject]) -> Image:
    """Draw one frame; the camera is at the bottom and looks up."""
    size = (_AHEAD_M * _SCALE, 2 * _ASIDE_M * _SCALE, 3)
    canvas = np.full(size, _GROUND, np.uint8)
    origin = _pixels(np.zeros((1, 2)))[0]
    for end in _pixels(frame.free):
        cv2.line(canvas, origin, end, _FREE, 2, cv2.LINE_AA)
    for metres in (10, 20, 30):
        top = origin[1] - metres * _SCALE
        cv2.circle(canvas, origin, metres * _SCALE, _RING, 1, cv2.LINE_AA)
        _write(canvas, f"{metres} m", (origin[0] + 3, top - 3))
    for seen in objects:
        if seen.outline:
            corners = _pixels(np.array(seen.outline))
            cv2.polylines(canvas, [corners.reshape(-1, 1, 2)], True, _TRUTH, 1, cv2.LINE_AA)
            right, middle = corners[:, 0].max() + 6, corners[:, 1].mean() + 4
            _write(canvas, seen.name, (int(right), int(middle)))
    for post in _pixels(frame.points[:, :2]):
        cv2.circle(canvas, post, 1, _POST, -1, cv2.LINE_AA)
    canvas[:, -1] = _TEXT
    return canvas


def _write(canvas: Image, text: str, place: tuple[int, int]) -> None:
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.38, _TEXT, 1, cv2.LINE_AA)


def _pixels(points: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """Return the pixels x, y of ground points x ahead, y left, (N, 2)."""
    limited = np.clip(points, -100.0, 100.0)
    columns = (_ASIDE_M - limited[:, 1]) * _SCALE
    rows = _AHEAD_M * _SCALE - 1 - limited[:, 0] * _SCALE
    return np.round(np.column_stack([columns, rows])).astype(np.int32)
