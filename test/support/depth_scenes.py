"""Boxes on ramps and in rooms, seen by a depth camera: every pixel's ray is cut with every surface.

The formulas are written down anew here, so that they share no mistake with the package.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT, FOCAL = 640, 360, 500.0
CAMERA_HEIGHT, PITCH = 1.2, 0.08


@dataclass(frozen=True)
class Scene:
    """Flat ground to `edge`, then a slope, with a vertical wall from one point to another on it.

    Attributes:
        slope: rise of the ground beyond `edge`, per metre.
        edge: x of the edge.
        start, end: x, y of both ends of the wall that is the obstacle.
        high: height of the wall over its own foot.
        back: x of a wall behind everything.
    """

    slope: float = 0.0
    edge: float = 4.0
    start: tuple[float, float] = (8.0, 0.4)
    end: tuple[float, float] = (8.0, -0.4)
    high: float = 0.8
    back: float = 30.0

    def render(self):
        """Depth along the optical axis in metres, (H, W) float32, and the wall's mask."""
        row, column = np.indices((HEIGHT, WIDTH)).astype(float)
        right, down = (column - WIDTH / 2) / FOCAL, (row - HEIGHT / 2) / FOCAL
        sin, cos = math.sin(PITCH), math.cos(PITCH)
        x, y, z = cos - down * sin, -right, -sin - down * cos  # at a depth of 1
        with np.errstate(divide="ignore", invalid="ignore"):
            flat = positive(-CAMERA_HEIGHT / z)
            flat[x * flat > self.edge] = np.inf
            ramp = positive((CAMERA_HEIGHT + self.slope * self.edge) / (self.slope * x - z))
            ramp[x * ramp < self.edge] = np.inf
            depth = np.minimum(np.minimum(flat, ramp), self.back / x)
            wall, over = self._wall(x, y, z)
        mask = (over >= 0) & (over <= self.high) & (wall < depth)
        return np.where(mask, wall, depth).astype(np.float32), mask

    def _wall(self, x, y, z):
        (x0, y0), (x1, y1) = self.start, self.end
        dx, dy = x1 - x0, y1 - y0
        depth = positive((x0 * dy - y0 * dx) / (x * dy - y * dx))
        along = ((x * depth - x0) * dx + (y * depth - y0) * dy) / (dx**2 + dy**2)
        depth[(along < 0) | (along > 1)] = np.inf
        ground = self.slope * np.maximum(x * depth - self.edge, 0.0)
        return depth, CAMERA_HEIGHT + z * depth - ground

    @property
    def foot(self):
        """Height of the wall's foot at its start."""
        return self.slope * max(self.start[0] - self.edge, 0.0)

    def distance_from_wall(self, points):
        """Distance of points x, y from the wall's foot, seen from above."""
        start, end = np.array(self.start), np.array(self.end)
        share = np.clip((points - start) @ (end - start) / ((end - start) ** 2).sum(), 0, 1)
        return np.hypot(*(points - start - share[:, None] * (end - start)).T)


def positive(values):
    return np.where(values > 0, values, np.inf)
