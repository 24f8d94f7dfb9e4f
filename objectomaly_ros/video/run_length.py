"""Horizontal runs of a map of ids: sums over each id, and values of ids as maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from objectomaly_ros.types import ScoreMap


class RunLengths:
    """A map of ids as runs of equal ids, which makes sums over ids several times faster.

    Attributes:
        ids: (R,) the id of each run.
        lengths: (R,) pixels of each run.
        sizes: (n_ids,) float64, pixels of each id.
    """

    def __init__(self, ids: npt.NDArray[np.int32], n_ids: int) -> None:
        """Find the runs of `ids`, (H, W) with values 0 to `n_ids` - 1."""
        starts = np.empty(ids.shape, dtype=np.bool_)
        starts[:, 0] = True  # runs end with their row, so that their float32 sums are short
        np.not_equal(ids[:, 1:], ids[:, :-1], out=starts[:, 1:])
        self._n_ids = n_ids
        self._map = ids
        self._starts = np.flatnonzero(starts)
        self.lengths = np.diff(self._starts, append=ids.size)
        self.ids = ids.ravel()[self._starts]
        self.sizes = self._per_id(self.lengths)

    def sums(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return the sum of `values`, (H, W), over the pixels of each id, (n_ids,)."""
        with np.errstate(invalid="ignore", over="ignore"):
            runs = np.add.reduceat(values.ravel(), self._starts)
        return self._per_id(runs)

    def to_pixels(self, values: npt.NDArray[np.float32]) -> ScoreMap:
        """Return the map, (H, W), of a value for each id, (n_ids,)."""
        return np.repeat(values[self.ids], self.lengths).reshape(self._map.shape)

    def intersect(
        self, others: Sequence[RunLengths]
    ) -> tuple[list[npt.NDArray[np.int32]], npt.NDArray[np.intp]]:
        """Return the runs of equal ids in this map and others of the same shape.

        Returns:
            (R,) each: the ids of every map, this one's first, and the pixels of each run.
        """
        maps = [self, *others]
        start = np.zeros(self._map.size, np.bool_)
        for runs in maps:
            start[runs._starts] = True
        starts = np.flatnonzero(start)
        lengths = np.diff(starts, append=self._map.size)
        return [runs._map.ravel()[starts] for runs in maps], lengths

    def _per_id(self, runs: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        sums = np.bincount(self.ids, weights=runs, minlength=self._n_ids)
        return sums.astype(np.float64, copy=False)
