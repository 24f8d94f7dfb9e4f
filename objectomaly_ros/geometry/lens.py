"""Undoes lens distortion: from points of the distorted image plane to viewing rays.

The models are OpenCV's, which `sensor_msgs/CameraInfo` names. OpenCV's own inverse ends after few
rounds, too early near the corners of wide lenses; here Newton's method goes on until the point is
met, and tells points that no ray meets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Points: TypeAlias = npt.NDArray[np.float64]

ROUNDS = 30
MET = 1e-5
"""A ray is found if it meets its point within this, of the focal length."""


def pinhole_rays(points: Points, coefficients: Sequence[float]) -> Points:
    """Invert the Brown-Conrady and rational models.

    Args:
        points: (M, 2) on the distorted image plane at distance 1.
        coefficients: k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4, tx, ty; from the fifth on all
            may be missing.

    Returns:
        (M, 3) rays with z = 1; NaN for points that no ray meets.
    """
    values = np.zeros(14)
    values[: len(coefficients)] = coefficients
    target = _untilted(points, *values[12:])
    plane = target.copy()
    with np.errstate(all="ignore"):
        for _ in range(ROUNDS):
            seen, (a, b, c, d), unfolded = _distorted(plane, values)
            miss = target - seen
            if not (np.abs(miss) > 1e-12).any():
                break
            step = np.stack([d * miss[:, 0] - b * miss[:, 1], a * miss[:, 1] - c * miss[:, 0]], 1)
            plane = plane + step / (a * d - b * c)[:, None]
        # Beyond the fold of a barrel distortion a second ray meets the same point.
        found = (np.abs(miss) < MET).all(axis=1) & unfolded & (a * d - b * c > 0)
    plane[~found] = np.nan
    return np.column_stack([plane, np.ones(len(plane))])


def _distorted(
    plane: Points, values: Points
) -> tuple[Points, tuple[Points, Points, Points, Points], npt.NDArray[np.bool_]]:
    """Return distorted points, their Jacobian by rows, and where the radius is not folded back."""
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = values[:12]
    x, y = plane.T
    r2 = x * x + y * y
    above = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    below = 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
    radial = above / below
    slope = (k1 + r2 * (2 * k2 + 3 * k3 * r2) - radial * (k4 + r2 * (2 * k5 + 3 * k6 * r2))) / below
    seen = np.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x) + r2 * (s1 + s2 * r2),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y + r2 * (s3 + s4 * r2),
        ],
        axis=1,
    )
    prism_x, prism_y = 2 * (s1 + 2 * s2 * r2), 2 * (s3 + 2 * s4 * r2)
    mixed = 2 * x * y * slope + 2 * (p1 * x + p2 * y)
    jacobian = (
        radial + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x + x * prism_x,
        mixed + y * prism_x,
        mixed + x * prism_y,
        radial + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x + y * prism_y,
    )
    return seen, jacobian, (radial > 0) & (below > 0) & (radial + 2 * r2 * slope > 0)


def _untilted(points: Points, tilt_x: float, tilt_y: float) -> Points:
    """Undo the tilt of the sensor."""
    if not (tilt_x or tilt_y):
        return points
    (cx, cy), (sx, sy) = np.cos([tilt_x, tilt_y]), np.sin([tilt_x, tilt_y])
    turn = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]]) @ [[1, 0, 0], [0, cx, sx], [0, -sx, cx]]
    tilt = np.array([[turn[2, 2], 0, -turn[0, 2]], [0, turn[2, 2], -turn[1, 2]], [0, 0, 1]]) @ turn
    flat = np.column_stack([points, np.ones(len(points))]) @ np.linalg.inv(tilt).T
    return np.asarray(flat[:, :2] / flat[:, 2:])


def fisheye_rays(points: Points, coefficients: Sequence[float]) -> Points:
    """Invert the equidistant model of Kannala and Brandt.

    Args:
        points: (M, 2) on the distorted image plane at distance 1.
        coefficients: k1, k2, k3, k4.

    Returns:
        (M, 3) rays of length 1, also of more than 90 degrees off the axis; NaN for points that no
        ray meets.
    """
    powers = np.array([1.0, *coefficients])
    degrees = 2 * np.arange(len(powers)) + 1
    radius = np.hypot(points[:, 0], points[:, 1])
    theta = np.minimum(radius, np.pi)
    with np.errstate(all="ignore"):
        for _ in range(ROUNDS):
            terms = powers * theta[:, None] ** (degrees - 1)
            miss = radius - theta * terms.sum(axis=1)
            slope = (terms * degrees).sum(axis=1)
            if not (np.abs(miss) > 1e-12).any():
                break
            theta = theta + miss / slope
        found = (np.abs(miss) < MET) & (slope > 0) & (theta >= 0) & (theta <= np.pi)
        outward = points * (np.sin(theta) / np.maximum(radius, 1e-12))[:, None]
    rays = np.column_stack([outward, np.cos(theta)])
    rays[~found] = np.nan
    return rays
