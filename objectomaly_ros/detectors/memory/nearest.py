"""Nearest neighbours of patches among remembered ones at about the same height in the image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from objectomaly_ros.detectors.memory.patches import Floats

BAND = 0.1
"""Rows farther apart than this share of the image's height are not compared."""

FARTHEST = 2.0

_SERIAL = 4 * 65536
"""OpenBLAS computes a product of at most so many multiplications in one thread."""


class PatchIndex:
    """Patches, sorted by their height in the image.

    Attributes:
        vectors: (N, D) float32, of length 1.
        heights: (N,) float32, their rows as fractions of the image's height, ascending.
    """

    def __init__(self, vectors: Floats, heights: Floats) -> None:
        order = np.argsort(heights, kind="stable")
        self.vectors = np.ascontiguousarray(vectors[order], np.float32)
        self.heights = np.asarray(heights[order], np.float32)

    def __len__(self) -> int:
        return len(self.vectors)

    def distances(self, grid: Floats) -> Floats:
        """Return the distance of each patch of a grid (rows, columns, D): (rows, columns)."""
        found = np.full(grid.shape[:2], FARTHEST, np.float32)
        for row, band in self._bands(len(grid)):
            if band.start < band.stop:
                found[row] = distance(products(self.vectors[band], grid[row]).max(axis=0))
        return found

    def distances_to(self, grid: Floats) -> Floats:
        """Return the distance of each remembered patch to the nearest of a grid: (N,)."""
        best = np.full(len(self), -1.0, np.float32)
        for row, band in self._bands(len(grid)):
            likeness = products(self.vectors[band], grid[row]).max(axis=1)
            np.maximum(best[band], likeness, out=best[band])
        return distance(best)

    def _bands(self, rows: int) -> Iterator[tuple[int, slice]]:
        """Yield each row of a grid, and the part of the patches that it is compared with."""
        heights = heights_of(rows)
        starts = np.searchsorted(self.heights, heights - np.float32(BAND), side="left")
        ends = np.searchsorted(self.heights, heights + np.float32(BAND), side="right")
        for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
            yield row, slice(int(start), int(end))


def products(many: Floats, few: Floats) -> Floats:
    """Return all scalar products of (N, D) and (M, D), (N, M), in the calling thread alone.

    OpenBLAS takes all cores for larger products, and waits for them: on a busy machine ten times as
    long as one core takes.
    """
    step = max(1, _SERIAL // few.size)
    whole = len(many) // step * step
    stacked = np.matmul(many[:whole].reshape(-1, step, many.shape[1]), few.T)
    return np.concatenate([stacked.reshape(whole, len(few)), many[whole:] @ few.T])


def heights_of(rows: int) -> Floats:
    """Return the heights of a grid's rows as fractions of the image's, (rows,)."""
    return ((np.arange(rows) + 0.5) / rows).astype(np.float32)


def distance(likeness: Floats) -> Floats:
    """Return the distance of unit vectors from their scalar product."""
    return np.asarray(np.sqrt(np.maximum(2 - 2 * likeness, 1e-6)), np.float32)


def thinned(vectors: Floats, heights: Floats, radius: float) -> tuple[Floats, Floats]:
    """Leave patches out so that no two of about the same height are nearer than `radius`.

    The first of several stays (leader clustering).
    """
    if radius <= 0:
        return vectors, heights
    chosen: list[int] = []
    free = np.ones(len(vectors), np.bool_)
    for leader in range(len(vectors)):
        if free[leader]:
            chosen.append(leader)
            near = np.abs(heights[leader:] - heights[leader]) <= BAND
            rivals = leader + np.flatnonzero(free[leader:] & near)
            free[rivals] = distance(vectors[rivals] @ vectors[leader]) >= radius
    return vectors[chosen], heights[chosen]
