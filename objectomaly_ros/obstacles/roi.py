"""Regions of interest: where in the image obstacles may stand."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.types import Mask

_MIN_ROAD_SHARE = 0.02
"""Smaller pieces than this share of all road pixels are mistakes of the detector."""

_MIN_IMAGE_SHARE = 0.005
"""With less road than this share of the image the road is not known."""


def polygon_roi(points: npt.ArrayLike, shape: tuple[int, int]) -> Mask:
    """The inside of a polygon as a region of interest.

    Args:
        points: corners x, y as fractions of the image's width and height, so that one parameter
            serves cameras of every resolution; (N, 2), or flat x0, y0, x1, y1, ... as a ROS
            parameter holds them. At least 3 corners.
        shape: H, W of the mask.

    Returns:
        (H, W) bool.

    Raises:
        ValueError: not at least three x, y pairs, or a number outside 0..1.
    """
    flat = np.asarray(points, np.float64).ravel()
    if flat.size < 6 or flat.size % 2:
        raise ValueError(
            f"a polygon needs at least 3 corners as x, y pairs, got {flat.size} numbers: "
            f"{flat.tolist()}"
        )
    if not ((flat >= 0) & (flat <= 1)).all():
        raise ValueError(
            "polygon corners are fractions of the image's width and height, 0 to 1, "
            f"got {flat.tolist()}; divide pixels by the image size"
        )
    height, width = shape
    corners = np.rint(flat.reshape(-1, 2) * [width - 1, height - 1]).astype(np.int32)
    inside = np.zeros(shape, np.uint8)
    cv2.fillPoly(inside, [corners], 1)
    return inside.astype(np.bool_)


def road_roi(road: Mask, *, margin_px: int | None = None) -> Mask:
    """Where an obstacle on the road may touch the ground: the road, closed over what hides it.

    An obstacle cuts a hole or a bay into the road that the detector sees, exactly where the
    obstacle stands. So, over the pieces of road that are not specks: each row is filled from its
    leftmost to its rightmost road pixel; rows without road between rows with road take the extent
    in between; those below the last take the extent of the road's nearest rows (a vehicle close
    ahead hides the road before the camera); and the whole is widened by a margin, because detectors
    stop a few pixels short of an obstacle.

    A road that is hardly seen (under 0.5 % of the image) says nothing, and then the region is the
    whole image: in doubt an obstacle is reported.

    Args:
        road: (H, W) bool, where the detector sees drivable ground.
        margin_px: how far the region is widened to all sides; 1 % of the image's height where None.

    Returns:
        (H, W) bool.
    """
    height, width = road.shape
    margin = max(1, round(0.01 * height)) if margin_px is None else margin_px
    if margin < 0:
        raise ValueError(f"margin_px is {margin}; it must be 0 or more")
    _, labels, stats, _ = cv2.connectedComponentsWithStats(road.astype(np.uint8), connectivity=8)
    area = stats[:, cv2.CC_STAT_AREA]
    total = int(area[1:].sum())
    if total < _MIN_IMAGE_SHARE * road.size:
        return np.ones_like(road)
    large = area >= _MIN_ROAD_SHARE * total
    large[0] = False
    solid = large[labels]

    rows = np.flatnonzero(solid.any(axis=1))
    left = solid[rows].argmax(axis=1)
    right = width - 1 - solid[rows, ::-1].argmax(axis=1)
    top, bottom = int(rows[0]), int(rows[-1])
    first = np.interp(np.arange(height), rows, left)
    last = np.interp(np.arange(height), rows, right)
    near = max(1, rows.size // 10)
    first[bottom + 1 :] = left[-near:].min()
    last[bottom + 1 :] = right[-near:].max()
    first[:top] = width
    columns = np.arange(width)
    filled = (columns >= first[:, None]) & (columns <= last[:, None])
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    return cv2.dilate(filled.astype(np.uint8), kernel).astype(np.bool_)
