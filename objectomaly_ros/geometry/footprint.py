"""Footprints: the ground that obstacles cover, as polygons."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.geometry.placement import Placement

NO_OBSTACLE = 0
"""Id of a footprint without corners, which every image has. Obstacles have other ids."""
MIN_DEPTH_M, MAX_DEPTH_M = 0.1, 1.0
"""An obstacle is taken to be as deep as it is wide, within these limits: its back is not seen."""


def footprints(
    ids: Sequence[int], placements: Sequence[Placement], position: npt.NDArray[np.float64]
) -> dict[int, npt.NDArray[np.float32]]:
    """Return the corners of the obstacles' footprints by id, the nearest last; see `footprint`."""
    order = np.argsort([-placed.range_m for placed in placements], kind="stable")
    return {
        ids[index]: corners
        for index in order
        if (corners := footprint(placements[index], position)) is not None
    }


def footprint(
    placed: Placement, position: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32] | None:
    """Return the ground that an obstacle covers: the convex hull of its contact edge and its back.

    Args:
        placed: the obstacle.
        position: of the camera in the base frame, (3,).

    Returns:
        Corners x, y in the base frame, (N, 2) float32, N >= 3, counter-clockwise seen from above;
        None for an obstacle without contact points.
    """
    if not len(placed.points):
        return None
    front = placed.points[:, :2].astype(np.float64)
    ahead = front.mean(axis=0) - position[:2]
    length = np.hypot(*ahead)
    ahead = ahead / length if length > 1e-6 else np.array([1.0, 0.0])
    across = np.array([-ahead[1], ahead[0]])
    aside = front @ across
    depth = float(np.clip(np.ptp(aside), MIN_DEPTH_M, MAX_DEPTH_M))
    if np.ptp(aside) < MIN_DEPTH_M:  # a pole: a hull of one line of sight would have no area
        front = np.concatenate([front - MIN_DEPTH_M / 2 * across, front + MIN_DEPTH_M / 2 * across])
    ground = np.concatenate([front, front + depth * ahead]).astype(np.float32)
    return np.asarray(cv2.convexHull(ground, clockwise=False), np.float32).reshape(-1, 2)
