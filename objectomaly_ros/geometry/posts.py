"""Posts: vertical rows of points over contact edges, since planners drop points on the ground."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from objectomaly_ros.geometry.placement import Placement

STEP_M = 0.1
"""Distance of a post's points, and height of the lowest one."""

SPACING_M = 0.05
"""Largest distance of neighbouring posts that thinning leaves."""


class Posts(NamedTuple):
    """Points of the posts of all obstacles.

    Attributes:
        points: x, y, z in the base frame, (N, 3) float32.
        obstacle: index of each point's obstacle, (N,) int64.
        range_std: standard deviation of the range of its contact point in metres, (N,) float32.
    """

    points: npt.NDArray[np.float32]
    obstacle: npt.NDArray[np.int64]
    range_std: npt.NDArray[np.float32]


def posts(placements: Sequence[Placement], max_height: float) -> Posts:
    """Set up a post over every contact point.

    A post has points every STEP_M, from STEP_M above its contact point up to the seen height there,
    and at least one. Posts closer than SPACING_M / 2 to the one before them are left out: so the
    size of the obstacle bounds their number, whatever the resolution of the image.

    Args:
        placements: of the obstacles.
        max_height: no post is higher, in metres; at least STEP_M.
    """
    counts = [len(placed.points) for placed in placements]
    if not sum(counts):
        none = np.empty(0, np.float32)
        return Posts(np.empty((0, 3), np.float32), np.empty(0, np.int64), none)
    obstacle = np.repeat(np.arange(len(counts)), counts)
    feet = np.concatenate([placed.points for placed in placements])
    heights = np.concatenate([placed.heights for placed in placements])
    spread = np.concatenate([placed.range_std for placed in placements])
    kept = _thinned(feet, obstacle)
    feet, heights, spread, obstacle = feet[kept], heights[kept], spread[kept], obstacle[kept]
    # A height of 0.3 m has three points, though it may be a little less as a float32.
    levels = np.floor(np.minimum(heights, max_height) / STEP_M + 1e-3).astype(np.int64)
    levels = np.maximum(levels, 1)
    source = np.repeat(np.arange(len(feet)), levels)
    level = np.arange(len(source)) - np.repeat(np.cumsum(levels) - levels, levels) + 1
    points = feet[source]
    points[:, 2] += (STEP_M * level).astype(np.float32)
    return Posts(points, obstacle[source], spread[source])


def _thinned(
    feet: npt.NDArray[np.float32], obstacle: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the indices of posts to keep: the first in each half SPACING_M along an edge."""
    steps = np.hypot(*np.diff(feet[:, :2], axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    part = np.floor(along / (SPACING_M / 2))
    first = np.ones(len(feet), np.bool_)
    first[1:] = (np.diff(part) > 0) | (np.diff(obstacle) > 0)
    return np.flatnonzero(first)
