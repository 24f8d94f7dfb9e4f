"""Tracking: ids that stay with an obstacle from frame to frame."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from objectomaly_ros.obstacles.extraction import Region

_MOST_TRACKS = 2048
LONGEST_S = 2.0
"""An obstacle that was missed is forgotten after this time, however few the frames in it."""

_GAIN = 0.5
"""Weight of a new measurement of the velocity."""

_MIN_SIDE_PX = 12.0
"""Smaller boxes are enlarged to this for comparison: distant ones move by more than their size."""

_MOST_IDS = 2**32 - 1  # a message has room for 32 bits

Boxes = npt.NDArray[np.float64]


def obstacle_ids() -> Iterator[int]:
    """Return ids of obstacles: 1, 2, and so on. Trackers and threads may share them."""
    # A generator may not be asked by two threads at once.
    return map(lambda number: number % _MOST_IDS + 1, itertools.count())  # noqa: C417


@dataclass(eq=False)
class _Track:
    """One tracked obstacle; its box is centre x, centre y, width, height in pixels."""

    id: int
    box: npt.NDArray[np.float64]
    velocity: npt.NDArray[np.float64]
    stamp: float
    born: int
    seen: int

    def predict(self, stamp: float) -> npt.NDArray[np.float64]:
        box = self.box + self.velocity * max(0.0, stamp - self.stamp)
        box[2:] = np.maximum(box[2:], 1.0)
        return box

    def correct(self, box: npt.NDArray[np.float64], stamp: float, frame: int) -> None:
        elapsed = stamp - self.stamp
        if elapsed > 0:
            measured = (box - self.box) / elapsed
            # The first measurement counts in full; later ones are smoothed.
            gain = _GAIN if self.velocity.any() else 1.0
            self.velocity = self.velocity + gain * (measured - self.velocity)
        self.box, self.stamp, self.seen = box, max(stamp, self.stamp), frame


class ObstacleTracker:
    """Tracks boxes with constant velocity, matched by overlap (Hungarian assignment).

    Each box (centre and size) is predicted to the time of the frame. The assignment with the
    largest sum of intersections over union gives the ids, each of which is used for one obstacle.

    Args:
        min_iou: least intersection over union of a match, 0 to 1.
        max_missed: an obstacle unseen for more frames, or for more than `LONGEST_S`, is forgotten,
            and its id with it.
        ids: the ids of new obstacles; from 1 on by default.
    """

    def __init__(
        self, min_iou: float = 0.2, max_missed: int = 5, ids: Iterator[int] | None = None
    ) -> None:
        if not 0.0 < min_iou <= 1.0:
            raise ValueError(f"min_iou is {min_iou}; it must lie above 0 and not above 1")
        if max_missed < 0:
            raise ValueError(f"max_missed is {max_missed}; it must be 0 or more")
        self._min_iou = min_iou
        self._max_missed = max_missed
        self._ids = obstacle_ids() if ids is None else ids
        self.reset()

    def reset(self) -> None:
        """Forget all obstacles; later ones get other ids."""
        self._tracks: list[_Track] = []
        self._frame = -1

    def update(self, regions: Sequence[Region], time_s: float) -> list[int]:
        """Track the obstacles of the next frame, which may be none; return one id per region.

        Args:
            regions: the obstacles.
            time_s: time of the frame in seconds. It must not go back: reset after a clock jump.
        """
        self._tracks = [
            track
            for track in self._tracks
            if track.seen == self._frame or time_s - track.stamp <= LONGEST_S
        ]
        self._frame += 1
        boxes, matched = self._match(regions, time_s)
        ids = []
        for index, box in enumerate(boxes):
            track = matched.get(index)
            if track is None:
                track = self._start(box, time_s)
            else:
                track.correct(box, time_s, self._frame)
            ids.append(track.id)
        self._tracks = [t for t in self._tracks if self._frame - t.seen <= self._max_missed]
        if len(self._tracks) > _MOST_TRACKS:  # noise; forget those unseen for longest
            self._tracks = sorted(self._tracks, key=lambda t: t.seen)[-_MOST_TRACKS:]
        return ids

    def look_up(self, regions: Sequence[Region], time_s: float) -> tuple[list[int], list[int]]:
        """Return ids and ages of obstacles in a frame that is out of order; no track changes.

        An obstacle that is not tracked gets an id that no other will get, and age 0.
        """
        boxes, matched = self._match(regions, time_s)
        tracks = [matched.get(index) for index in range(len(boxes))]
        ids = [next(self._ids) if track is None else track.id for track in tracks]
        return ids, [0 if track is None else self._frame - track.born for track in tracks]

    def _match(self, regions: Sequence[Region], time_s: float) -> tuple[Boxes, dict[int, _Track]]:
        """Return the boxes of regions, and the tracks that they belong to by index."""
        boxes = np.array([_centred(region.box) for region in regions]).reshape(-1, 4)
        predicted = np.array([t.predict(time_s) for t in self._tracks]).reshape(-1, 4)
        overlap = _iou(predicted, boxes)
        # Pairs below min_iou count nothing, or they could outweigh a good pair in the sum.
        worth = np.where(overlap >= self._min_iou, overlap, 0.0)
        matched = {
            column: self._tracks[row]
            for row, column in _best_pairs(worth)
            if overlap[row, column] >= self._min_iou
        }
        return boxes, matched

    def age(self, track_id: int) -> int:
        """Return the number of frames since the obstacle was first seen.

        Raises:
            KeyError: the id is not tracked (any more).
        """
        for track in self._tracks:
            if track.id == track_id:
                return self._frame - track.born
        raise KeyError(f"no obstacle with id {track_id} is tracked")

    def __len__(self) -> int:
        """Number of tracked obstacles, including those unseen for a few frames."""
        return len(self._tracks)

    def _start(self, box: npt.NDArray[np.float64], stamp: float) -> _Track:
        now = self._frame
        track = _Track(next(self._ids), box, np.zeros(4), stamp, born=now, seen=now)
        self._tracks.append(track)
        return track


def _centred(box: tuple[int, int, int, int]) -> tuple[float, float, float, float]:
    x, y, w, h = box
    return x + w / 2, y + h / 2, float(w), float(h)


def _best_pairs(worth: Boxes) -> list[tuple[int, int]]:
    """Return the pairs (row, column) of highest total worth, each row and column in at most one.

    By `scipy.sparse.csgraph`: loading `scipy.optimize` for the same takes the node 0.4 s.
    """
    if not worth.size:
        return []
    # A sparse matrix has no zeros. One more for every pair changes no choice among full matchings.
    rows, columns = min_weight_full_bipartite_matching(csr_array(worth + 1), maximize=True)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _iou(a: Boxes, b: Boxes) -> Boxes:
    """Intersection over union of (M, 4) and (N, 4) centred boxes, (M, N)."""
    half_a = np.maximum(a[:, None, 2:], _MIN_SIDE_PX) / 2
    half_b = np.maximum(b[None, :, 2:], _MIN_SIDE_PX) / 2
    centre_a, centre_b = a[:, None, :2], b[None, :, :2]
    sides = np.minimum(centre_a + half_a, centre_b + half_b) - np.maximum(
        centre_a - half_a, centre_b - half_b
    )
    intersection = np.clip(sides, 0.0, None).prod(axis=2)
    union = 4 * half_a.prod(axis=2) + 4 * half_b.prod(axis=2) - intersection
    return np.asarray(intersection / union)
