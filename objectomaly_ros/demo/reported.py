"""What the node reported on a drive: one entry for each tracked obstacle."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from objectomaly_ros.demo.frames import ResultFrame


@dataclass(frozen=True)
class Reported:
    """One obstacle of ~/obstacles.

    Attributes:
        id: its number in ~/obstacles.
        from_s, to_s: seconds of the drive in which it was reported first and last.
        frames: frames in which it was reported.
        nearest_m: smallest range; None without a range.
        score: largest mean score.
    """

    id: int
    from_s: float
    to_s: float
    frames: int
    nearest_m: float | None
    score: float


class ReportedObstacles:
    """Collects the obstacles of frames in the order of time."""

    def __init__(self) -> None:
        self._start_ns: int | None = None
        self._found: dict[int, Reported] = {}

    def add(self, frame: ResultFrame) -> None:
        """Take the obstacles of a frame in."""
        if self._start_ns is None:
            self._start_ns = frame.stamp_ns
        now = (frame.stamp_ns - self._start_ns) / 1e9
        for obstacle in frame.obstacles:
            metres = float(obstacle.range) if math.isfinite(obstacle.range) else None
            new = Reported(obstacle.id, now, now, 0, metres, 0.0)
            known = self._found.get(obstacle.id, new)
            ranges = [value for value in (known.nearest_m, metres) if value is not None]
            self._found[obstacle.id] = replace(
                known,
                to_s=now,
                frames=known.frames + 1,
                nearest_m=min(ranges, default=None),
                score=max(known.score, float(obstacle.score)),
            )

    def lasting(self) -> list[Reported]:
        """Return all, those first that were reported in most frames."""
        return sorted(self._found.values(), key=lambda one: (-one.frames, one.from_s))
