"""Free road: how far the road is seen free in each direction, cut at the first doubt."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.geometry.beams import Beams
from objectomaly_ros.geometry.placement import Placement
from objectomaly_ros.geometry.view import View
from objectomaly_ros.obstacles.extraction import Region
from objectomaly_ros.obstacles.stage import Obstacles
from objectomaly_ros.types import Mask, ScoreMap

MARGIN_PX = 2
"""Obstacles are larger than their masks by this on all sides."""

OVERHANG_M = 0.5
"""An obstacle may overhang its contact edge by half its height, as a ball does, up to this."""

STEEPEST = 100.0
"""Length of a ray for one metre along the ground; steeper ones point straight down."""


def free_pixels(road: Mask, obstacles: Obstacles, score: ScoreMap, threshold: float | None) -> Mask:
    """Return the pixels that show free road, (H, W) bool.

    These are pixels of the road
    - MARGIN_PX away from any obstacle,
    - in the region of interest: outside of it, obstacles are not reported,
    - with a score up to the threshold: an anomaly too small for an obstacle is no free road.

    Args:
        road: drivable ground as the detector sees it, (H, W) bool.
        obstacles: of the image.
        score: that they were found in, (H, W) float32.
        threshold: of obstacles; None without any.
    """
    free = road.copy()
    if obstacles.regions:
        around = np.ones((2 * MARGIN_PX + 1, 2 * MARGIN_PX + 1), np.uint8)
        free &= cv2.dilate(obstacles.mask.view(np.uint8), around) == 0
    if obstacles.roi is not None:
        free &= obstacles.roi
    if threshold is not None:
        free &= score <= threshold
    return free


def free_ranges(
    beams: Beams, free: Mask, regions: Sequence[Region], placements: Sequence[Placement], view: View
) -> npt.NDArray[np.float64]:
    """Return how far the road is free in each beam.

    A beam ends at the first pixel that is not free, and before any obstacle: by one standard
    deviation of the range, and by what the obstacle may overhang. Obstacles end it with their whole
    width, also with parts that hang in the air and would be projected to the ground behind.

    Args:
        beams: of the view.
        free: see `free_pixels`.
        regions: the obstacles.
        placements: one for each obstacle.
        view: of the image.

    Returns:
        Metres, one number for each beam; 0 if nothing free is seen.
    """
    points, pixels, margin = _fronts(regions, placements, view)
    limits = beams.nearest(points, pixels, margin, half_width=MARGIN_PX + 0.5)
    return beams.free_ranges(free, limits)


def _fronts(
    regions: Sequence[Region], placements: Sequence[Placement], view: View
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return a point for every column of every obstacle with contact points.

    Returns:
        Points x, y, z in the base frame, (N, 3); their pixels, (N, 2); metres that the obstacle may
        be nearer, (N,).
    """
    parts = [
        _front(region, placed, _distances(placed, view))
        for region, placed in zip(regions, placements, strict=True)
        if len(placed.points)
    ]
    if not parts:
        return np.empty((0, 3)), np.empty((0, 2)), np.empty(0)
    columns, rows, distance, margin = np.concatenate(parts, axis=1)
    pixels = np.column_stack([columns, rows])
    rays = view.directions(pixels)
    rays *= (distance / np.linalg.norm(rays, axis=1))[:, None]
    seen = np.isfinite(rays).all(axis=1)
    return view.position + rays[seen], pixels[seen], margin[seen]


def _distances(placed: Placement, view: View) -> npt.NDArray[np.float64]:
    """Return the distances from the camera of contact points, along their pixels' rays, (M,).

    Points lie at z = 0, also those that depth found above or below: only x and y are to be trusted.
    """
    away = placed.points - view.position
    rays = view.directions(placed.pixels)
    with np.errstate(all="ignore"):
        stretch = np.linalg.norm(rays, axis=1) / np.hypot(rays[:, 0], rays[:, 1])
        distance = np.hypot(away[:, 0], away[:, 1]) * stretch
    steep = ~(stretch < STEEPEST)
    distance[steep] = np.linalg.norm(away[steep], axis=1)
    return np.asarray(distance)


def _front(
    region: Region, placed: Placement, distance: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return columns of an obstacle, their rows, distances and margins, (4, N).

    A column is as near as the nearest contact point at most the obstacle's height aside: round
    things hang over the ground that they are seen before.
    """
    left, _, width, height = region.box
    columns = np.arange(left, left + width)
    known, rows = placed.pixels.T
    if width <= height:
        nearest = int(distance.argmin())
        ahead = np.full(width, distance[nearest])
        spread = np.full(width, float(placed.range_std[nearest]))
    else:
        each = np.full((1, width), np.inf, np.float32)
        each[0, known - left] = distance
        ahead = cv2.erode(each, np.ones((1, 2 * height + 1), np.uint8))[0].astype(np.float64)
        ahead[np.isinf(ahead)] = distance.min()
        spread = np.interp(columns, known, placed.range_std)
    margin = spread + min(placed.height / 2, OVERHANG_M)
    return np.stack([columns, np.interp(columns, known, rows), ahead, margin])
