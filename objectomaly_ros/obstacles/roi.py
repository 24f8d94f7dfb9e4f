"""Regions of interest: the ground in the image on which obstacles may stand."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.types import Mask

_MIN_ROAD_SHARE = 0.02
"""Pieces of road with a smaller share of all road pixels are mistakes of the detector."""

_MIN_IMAGE_SHARE = 0.005
"""The road is unknown if it covers a smaller share of the image."""


def polygon_roi(points: npt.ArrayLike, shape: tuple[int, int]) -> Mask:
    """Return the inside of a polygon, (H, W) bool.

    Args:
        points: at least 3 corners x, y as fractions of the image's width and height, so that they
            hold for every resolution; (N, 2), or flat x0, y0, x1, y1, ...
        shape: H, W of the mask.

    Raises:
        ValueError: fewer than three x, y pairs, or a number outside 0..1.
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
    """Return the ground that obstacles on the road may touch, (H, W) bool: the closed road.

    An obstacle cuts a hole or a bay into the road that the detector sees, just at its contact edge.
    So the road is closed:
    1. Specks are dropped.
    2. Each row is filled from its leftmost to its rightmost road pixel.
    3. Rows without road take the interpolated extent of their neighbours; those below the road
       take that of its nearest rows, which a vehicle close ahead may hide.
    4. The region is widened by a margin, because detectors stop a few pixels short of an obstacle.

    If less than 0.5 % of the image is road, the region is the whole image: in doubt an obstacle is
    reported.

    Args:
        road: (H, W) bool, drivable ground as the detector sees it.
        margin_px: the margin; None for 1 % of the image's height.
    """
    height, width = road.shape
    margin = max(1, round(0.01 * height)) if margin_px is None else margin_px
    if margin < 0:
        raise ValueError(f"margin_px is {margin}; it must be 0 or more")
    count, labels = cv2.connectedComponents(road.astype(np.uint8), connectivity=8)
    area = np.bincount(labels[road], minlength=count)
    total = int(area.sum())
    if total < _MIN_IMAGE_SHARE * road.size:
        return np.ones_like(road)
    large = area >= _MIN_ROAD_SHARE * total
    solid = road if large[1:].all() else large[labels]

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
    columns = np.arange(width, dtype=np.int32)
    filled = columns >= np.ceil(first).astype(np.int32)[:, None]
    filled &= columns <= np.floor(last).astype(np.int32)[:, None]
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    return cv2.dilate(filled.view(np.uint8), kernel).view(np.bool_)
