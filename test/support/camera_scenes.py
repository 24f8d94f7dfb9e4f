"""Boxes on a flat ground, seen by cameras of many kinds: masks by plain formulas, with the truth.

The formulas are written down anew here, so that they share no mistake with the package.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

WIDTH, HEIGHT = 1280, 720
K = (900.0, 880.0, 652.0, 351.0)  # fx, fy, cx, cy
P = (700.0, 715.0, 618.0, 372.0)
PLUMB_BOB = (-0.28, 0.09, 0.001, -0.0007, -0.01)
RATIONAL = (1.2, 0.4, 0.0005, -0.0003, 0.02, 1.5, 0.7, 0.06)
EQUIDISTANT = (0.03, -0.01, 0.004, -0.001)
CAMERA_HEIGHT, PITCH = 1.5, 0.12


@dataclass(frozen=True)
class Camera:
    """A camera 1.5 m above the ground that looks 0.12 rad down.

    Attributes:
        matrix: fx, fy, cx, cy of the full image.
        lens: distortion, by the names of CameraInfo; None for a pinhole.
        coefficients: of the lens.
        turn: R of a rectified image: yaw and pitch in radians.
        crop: x, y, width, height of the captured part of 1280 x 720 pixels.
        scale: pixels of the full image for one of the captured image.
    """

    matrix: tuple[float, ...] = K
    lens: str | None = None
    coefficients: tuple[float, ...] = ()
    turn: tuple[float, float] = (0.0, 0.0)
    crop: tuple[int, int, int, int] = (0, 0, WIDTH, HEIGHT)
    scale: float = 1.0
    size: tuple[int, int] = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "size", tuple(int(n / self.scale) for n in self.crop[2:]))

    def pixels(self, points):
        """Pixels of points x ahead, y left, z up, (N, 3)."""
        x, y, z = np.asarray(points, float).T
        z = z - CAMERA_HEIGHT
        sin, cos = math.sin(PITCH), math.cos(PITCH)
        ahead, up = x * cos - z * sin, x * sin + z * cos
        optical = np.stack([-y, -up, ahead], 1) @ np.array(rotation(*self.turn)).T
        a, b = optical[:, 0] / optical[:, 2], optical[:, 1] / optical[:, 2]
        a, b = distorted(a, b, self.lens, self.coefficients)
        fx, fy, cx, cy = self.matrix
        left, top, _, _ = self.crop
        return np.stack(
            [
                (fx * a + cx - left + 0.5) / self.scale - 0.5,
                (fy * b + cy - top + 0.5) / self.scale - 0.5,
            ],
            axis=1,
        )

    def mask(self, boxes, width=0.8, height=0.9):
        """Mask of the fronts of boxes at x, y on the ground, (H, W) bool."""
        side = np.linspace(-0.5, 0.5, 300)
        across, up = (grid.ravel() for grid in np.meshgrid(width * side, height * (side + 0.5)))
        wide, high = self.size
        mask = np.zeros((high, wide), bool)
        for x, y in boxes:
            points = np.stack([np.full(across.size, x), y + across, up], 1)
            column, row = np.rint(self.pixels(points)).astype(int).T
            seen = (column >= 0) & (row >= 0) & (column < wide) & (row < high)
            mask[row[seen], column[seen]] = True
        return mask


def nearest(x, y, width=0.8):
    """Range of the nearest point of the front of a box."""
    return math.hypot(x, max(abs(y) - width / 2, 0.0))


def rotation(yaw, pitch):
    """Rows of R: about the y axis, then about the x axis of an optical frame."""
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    return [[cy, 0.0, -sy], [-sp * sy, cp, -sp * cy], [cp * sy, sp, cp * cy]]


def distorted(a, b, lens, coefficients):
    if lens is None:
        return a, b
    if lens == "equidistant":
        k1, k2, k3, k4 = coefficients
        r = np.hypot(a, b)
        t = np.arctan(r)
        bent = t + k1 * t**3 + k2 * t**5 + k3 * t**7 + k4 * t**9
        factor = np.where(r > 1e-9, bent / np.maximum(r, 1e-9), 1.0)
        return a * factor, b * factor
    k1, k2, p1, p2, k3, k4, k5, k6 = (*coefficients, 0.0, 0.0, 0.0)[:8]
    r2 = a**2 + b**2
    factor = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    return (
        a * factor + 2 * p1 * a * b + p2 * (r2 + 2 * a**2),
        b * factor + p1 * (r2 + 2 * b**2) + 2 * p2 * a * b,
    )
