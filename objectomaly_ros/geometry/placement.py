"""Where obstacles stand: their contact edges in metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from objectomaly_ros.geometry.depth import column_distances
from objectomaly_ros.geometry.ground import MAX_RANGE_M
from objectomaly_ros.geometry.uncertainty import Noise, range_std
from objectomaly_ros.geometry.view import View
from objectomaly_ros.obstacles.extraction import Region

NAN = float("nan")

MAX_HEIGHT_M = 20.0
"""Seen heights end here: near the horizon one row of pixels spans metres."""


def _none(*shape: int) -> npt.NDArray[np.float32]:
    return np.empty(shape, np.float32)


@dataclass(frozen=True, eq=False)
class Placement:
    """Where one obstacle stands, in the base frame.

    Attributes:
        points: contact points x, y, z in metres, (M, 3) float32. z is 0, also where depth finds the
            obstacle's foot above or below the ground plane: planners take heights over the ground
            that the robot drives on. M is 0 for an obstacle whose contact edge is above the
            horizon, too far away or too uncertain.
        pixels: their pixels x, y, (M, 2) int32.
        heights: seen height of the obstacle above each point in metres, (M,) float32, more than 0
            and at most MAX_HEIGHT_M.
        range_std: standard deviation of each point's range in metres, (M,) float32.
        range_m: metres along the ground from the base frame's origin to the nearest point. An
            obstacle that the image's lower border cuts off is nearer, unless depth placed it.
        nearest: x, y, z of the nearest point; with depth z is measured.
        nearest_std: standard deviation of `range_m`.
        height: largest of `heights`. All four are NaN without points.
        by_depth: whether depth placed the obstacle, not the ground plane.
    """

    points: npt.NDArray[np.float32] = field(default_factory=lambda: _none(0, 3))
    pixels: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 2), np.int32))
    heights: npt.NDArray[np.float32] = field(default_factory=lambda: _none(0))
    range_std: npt.NDArray[np.float32] = field(default_factory=lambda: _none(0))
    range_m: float = NAN
    nearest: tuple[float, float, float] = (NAN, NAN, NAN)
    nearest_std: float = NAN
    height: float = NAN
    by_depth: bool = False


def place(
    regions: Sequence[Region],
    view: View,
    depth: npt.NDArray[np.float32] | None = None,
    *,
    max_range: float = MAX_RANGE_M,
    max_relative_error: float = np.inf,
    noise: Noise | None = None,
) -> list[Placement]:
    """Place obstacles by their depth, or on the ground plane z = 0 of the base frame.

    Args:
        regions: obstacles of one image, with contact edges.
        view: of the image.
        depth: (H, W) metres along the optical axis, aligned to the image but of any size; holes are
            0, NaN or infinite. The ground plane places obstacles without depth.
        max_range: points farther than this along the ground, in metres, are left out.
        max_relative_error: points with a larger standard deviation, as a share of their distance
            from the camera along the ground, are left out: those near the horizon.
        noise: standard deviations that the range depends on; None for the defaults.

    Returns:
        One placement for each region.
    """
    counts = [len(region.contact) for region in regions]
    if not sum(counts):
        return [Placement() for _ in regions]
    pixels = np.concatenate([region.contact for region in regions])
    tops = np.column_stack([pixels[:, 0], np.concatenate([region.tops for region in regions])])
    half = np.array([0.0, 0.5])
    seen = view.directions(np.concatenate([pixels, pixels - half, pixels + half, tops - half]))
    rays, above, below, highest = seen.reshape(4, -1, 3)
    origin = view.position
    with np.errstate(all="ignore"):
        flat, flat_top = (np.hypot(one[:, 0], one[:, 1]) for one in (rays, highest))
        slope, slope_top = rays[:, 2] / flat, highest[:, 2] / flat_top
        scale = -origin[2] / rays[:, 2]
        distance, ahead = scale * flat, scale > 0
        points = origin + scale[:, None] * rays
        spread = range_std(
            points, origin, rays, below - above, view.transform[:3, 2], noise or Noise()
        )
        measured = np.zeros(len(pixels), np.bool_)
        if depth is not None:
            reach = np.stack([flat / (rays @ view.axis), flat_top / (highest @ view.axis)])
            size = (view.model.width, view.model.height)
            found, deviation = column_distances(depth, size, pixels, tops[:, 1], reach, counts)
            measured = found <= max_range  # else it is a hole or a mirror: the ground plane decides
            distance, spread = (
                np.where(measured, *pair) for pair in ((found, distance), (deviation, spread))
            )
            points = np.where(measured[:, None], origin + (distance / flat)[:, None] * rays, points)
        ranges = np.hypot(points[:, 0], points[:, 1])
        keep = (ahead | measured) & (ranges <= max_range)
        keep &= spread <= max_relative_error * distance
        # The highest ray passes above the point at the same distance along the ground.
        heights = distance * (slope_top - slope)
    points[~measured, 2] = 0.0
    heights = np.nan_to_num(np.clip(heights, 0.01, MAX_HEIGHT_M), nan=0.01)
    placements = []
    for end, count in zip(np.cumsum(counts), counts, strict=True):
        own = np.flatnonzero(keep[end - count : end]) + (end - count)
        placements.append(
            _placement(
                points[own], pixels[own], heights[own], spread[own], bool(measured[own].any())
            )
        )
    return placements


def _placement(
    points: npt.NDArray[np.float64],
    pixels: npt.NDArray[np.int32],
    heights: npt.NDArray[np.float64],
    spread: npt.NDArray[np.float64],
    by_depth: bool,
) -> Placement:
    if not len(points):
        return Placement()
    ranges = np.hypot(points[:, 0], points[:, 1])
    first = int(ranges.argmin())
    x, y, z = points[first].astype(np.float32).tolist()
    points[:, 2] = 0.0
    return Placement(
        points=points.astype(np.float32),
        pixels=pixels,
        heights=heights.astype(np.float32),
        range_std=spread.astype(np.float32),
        range_m=float(ranges[first]),
        nearest=(x, y, z),
        nearest_std=float(spread[first]),
        height=float(heights.max()),
        by_depth=by_depth,
    )
