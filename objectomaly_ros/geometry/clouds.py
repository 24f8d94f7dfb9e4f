"""Points for planners as records, in the layout of their PointCloud2."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from objectomaly_ros.geometry.beams import Beams
from objectomaly_ros.geometry.posts import Posts
from objectomaly_ros.obstacles.stage import Obstacles

XYZ = [("x", "<f4"), ("y", "<f4"), ("z", "<f4")]
GROUND_POINT = np.dtype(XYZ)
POINT = np.dtype([*XYZ, ("intensity", "<f4"), ("id", "<u4"), ("range_std", "<f4")])

Records = npt.NDArray[Any]


def post_records(obstacles: Obstacles, found: Posts) -> Records:
    """Return the points of posts, (N,) POINT: x, y, z and the deviation of the range, in metres.

    `intensity` is the obstacle's mean score, `id` its id.
    """
    points = np.empty(len(found.points), POINT)
    points["x"], points["y"], points["z"] = found.points.T
    points["range_std"] = found.range_std
    if len(points):
        scores = np.array([region.score for region in obstacles.regions], np.float32)
        points["intensity"] = scores[found.obstacle]
        points["id"] = np.array(obstacles.ids, np.uint32)[found.obstacle]
    return points


def free_records(beams: Beams, ranges: npt.NDArray[np.float64], ground_z: float) -> Records:
    """Return the ends of beams over free road, (N,) GROUND_POINT, at the height of the ground.

    Args:
        beams: of the view.
        ranges: free ranges in metres; a beam with 0 has no point.
        ground_z: height of the ground in the scan's frame.
    """
    seen = ranges > 0
    angles, ranges = beams.angles[seen], ranges[seen]
    points = np.empty(len(ranges), GROUND_POINT)
    points["x"], points["y"] = ranges * np.cos(angles), ranges * np.sin(angles)
    points["z"] = ground_z
    return points
