"""Thins the patches of a drive, and drops what few of its images show."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from objectomaly_ros.detectors.memory.nearest import PatchIndex, heights_of, thinned
from objectomaly_ros.detectors.memory.patches import Floats

RARE = 0.05
"""What at most this share of the images shows is dropped: it may be an obstacle."""

_FIRST_RADIUS, _GROWTH = 0.15, 1.1


class Coreset:
    """At most `most` patches that stand for all that were added.

    No patch is farther from a kept one than the radius, which grows when there are too many (after
    Charikar et al., "Incremental clustering and dynamic information retrieval", 1997).
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._radius = 0.0
        self.index: PatchIndex | None = None

    def add(self, grid: Floats) -> None:
        """Add the patches of an image, (rows, columns, D)."""
        vectors = grid.reshape(-1, grid.shape[2])
        heights = np.repeat(heights_of(len(grid)), grid.shape[1])
        if self.index is not None:
            new = (self.index.distances(grid) >= self._radius).ravel()
            vectors, heights = vectors[new], heights[new]
        vectors, heights = thinned(vectors, heights, self._radius)
        if self.index is not None:
            vectors = np.concatenate([self.index.vectors, vectors])
            heights = np.concatenate([self.index.heights, heights])
        while len(vectors) > self._most:
            self._radius = max(_FIRST_RADIUS, self._radius * _GROWTH)
            vectors, heights = thinned(vectors, heights, self._radius)
        self.index = PatchIndex(vectors, heights)


def shown_often(index: PatchIndex, grids: Iterable[Floats], reach: float) -> PatchIndex:
    """Return the patches that more than `RARE` of the images show within a distance of `reach`."""
    times = np.zeros(len(index), np.int64)
    images = 0
    for grid in grids:
        times += index.distances_to(grid) <= reach
        images += 1
    often = times > RARE * images
    return PatchIndex(index.vectors[often], index.heights[often])
