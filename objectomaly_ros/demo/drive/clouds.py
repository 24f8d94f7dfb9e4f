"""Solids as clouds of surface points, sampled from signed distance functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from skimage.measure import marching_cubes

Points: TypeAlias = npt.NDArray[np.float32]
Values: TypeAlias = npt.NDArray[np.float32]
Distance: TypeAlias = Callable[[Points], npt.NDArray[np.float32]]
"""(..., 3) points in metres -> (...) signed distance to the surface, negative inside."""
Paint: TypeAlias = Callable[[Points, Points], tuple[Points, npt.NDArray[np.float32]]]
"""(N, 3) points and normals -> (N, 3) RGB albedo 0..255 and (N,) gloss 0..1."""


@dataclass(frozen=True)
class Cloud:
    """Points on the surface of a solid.

    Attributes:
        points: (N, 3) metres; x forward, y left, z up, standing on z = 0.
        normals: (N, 3) outward unit vectors.
        albedo: (N, 3) RGB, 0..255.
        gloss: (N,) 0 matt to 1 mirror.
        spacing: largest gap between neighbouring points, metres.
    """

    points: Points
    normals: Points
    albedo: Points
    gloss: Values
    spacing: float


@dataclass(frozen=True)
class Solid:
    """A solid at several levels of detail, finest first."""

    levels: tuple[Cloud, ...]

    def at(self, pixels_per_metre: float) -> Cloud:
        """Return the coarsest cloud whose points are at most three pixels apart."""
        for cloud in reversed(self.levels):
            if cloud.spacing * pixels_per_metre <= 3.0:
                return cloud
        return self.levels[0]


def make_solid(
    distance: Distance,
    paint: Paint,
    low: Sequence[float],
    high: Sequence[float],
    spacing: float,
    levels: int = 3,
) -> Solid:
    """Sample the surface of a signed distance function within a box.

    Args:
        distance: the function.
        paint: colours the surface.
        low: corner of the box, x, y, z in metres.
        high: the corner opposite.
        spacing: metres between points of the finest level; each further one doubles it.
        levels: of detail.
    """
    return Solid(tuple(_sample(distance, paint, low, high, spacing * 2**i) for i in range(levels)))


def _sample(
    distance: Distance, paint: Paint, low: Sequence[float], high: Sequence[float], step: float
) -> Cloud:
    axes = [np.arange(a - step, b + 2 * step, step) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).astype(np.float32)
    vertices, _, _, _ = marching_cubes(distance(grid), 0.0, spacing=(step,) * 3)
    points = (vertices + [axis[0] for axis in axes]).astype(np.float32)
    shifts = np.eye(3, dtype=np.float32) * np.float32(0.8 * step)
    normals = np.stack([distance(points + d) - distance(points - d) for d in shifts], axis=1)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    # The differences cancel in a seam between two bodies; let seams face the sky.
    normals = np.where(length > 0.1 * step, normals / np.maximum(length, 1e-6), [0, 0, 1])
    albedo, gloss = paint(points, normals)
    normals, albedo, gloss = (v.astype(np.float32) for v in (normals, albedo, gloss))
    return Cloud(points, normals, albedo, gloss, step)


def ball(p: Points, centre: npt.ArrayLike, radii: npt.ArrayLike) -> Values:
    """Distance to an ellipsoid, approximate if its radii differ."""
    r = np.broadcast_to(np.asarray(radii, float), 3)
    scaled = (p - np.asarray(centre)) / r
    return np.asarray((np.linalg.norm(scaled, axis=-1) - 1) * r.min())


def box(p: Points, centre: npt.ArrayLike, half: npt.ArrayLike, rounding: float = 0.0) -> Values:
    """Distance to a box of half sizes `half`, its edges rounded by `rounding` metres."""
    q = np.abs(p - np.asarray(centre)) - (np.asarray(half) - rounding)
    outside = np.linalg.norm(np.maximum(q, 0), axis=-1)
    return np.asarray(outside + np.minimum(q.max(axis=-1), 0) - rounding)


def capsule(
    p: Points, a: npt.ArrayLike, b: npt.ArrayLike, radius: float, radius_b: float | None = None
) -> Values:
    """Distance to a round-ended rod from a to b, whose radius may change from end to end."""
    start, end = np.asarray(a, float), np.asarray(b, float)
    axis = end - start
    t = np.clip((p - start) @ axis / (axis @ axis), 0, 1)
    width = radius + t * ((radius if radius_b is None else radius_b) - radius)
    return np.asarray(np.linalg.norm(p - start - t[..., None] * axis, axis=-1) - width)


def cylinder(p: Points, centre: npt.ArrayLike, axis: int, radius: float, half: float) -> Values:
    """Distance to a cylinder along the coordinate `axis` (0, 1, 2)."""
    q = p - np.asarray(centre)
    first, second = (i for i in range(3) if i != axis)
    across = np.hypot(q[..., first], q[..., second]) - radius
    along = np.abs(q[..., axis]) - half
    inside = np.minimum(np.maximum(across, along), 0)
    return np.asarray(inside + np.hypot(np.maximum(across, 0), np.maximum(along, 0)))


def melt(a: Values, b: Values, width: float) -> Values:
    """Union of two bodies, smoothed over `width` metres of the seam (polynomial minimum)."""
    h = np.clip(0.5 + 0.5 * (b - a) / width, 0, 1)
    return np.asarray(b + (a - b) * h - width * h * (1 - h))


def speckle(points: Points, size: float, seed: int) -> Values:
    """Smooth noise of about -1..1, of grain `size` metres: waves of random direction."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(14, 3)) * (2.2 / size)
    phases = rng.uniform(0, 2 * np.pi, 14)
    return np.asarray(np.sin(points @ directions.T + phases).sum(axis=-1) / np.sqrt(14), np.float32)
