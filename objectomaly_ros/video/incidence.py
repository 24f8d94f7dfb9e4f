"""The masks that cover each cell, and the means of masks by sums over their cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

_F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CellIncidence:
    """P pairs of a cell and a mask that covers it, sorted by mask.

    Attributes:
        n_cells: number of cells, the uncovered cell 0 included.
        cells: (P,) cell of each pair.
        masks: (P,) mask of each pair; masks with a pixel, numbered from 0 by ascending area.
        starts: (M,) first pair of each mask.
    """

    n_cells: int
    cells: npt.NDArray[np.int32]
    masks: npt.NDArray[np.int32]
    starts: npt.NDArray[np.intp]

    @classmethod
    def from_pairs(
        cls, n_cells: int, cells: npt.NDArray[np.integer], ranks: npt.NDArray[np.integer]
    ) -> CellIncidence:
        """Build the incidence from pairs in any order.

        Args:
            n_cells: number of cells.
            cells: (P,) cell of each pair.
            ranks: (P,) rank by area of the mask of each pair; distinct masks have distinct ranks,
                which may have gaps.
        """
        order = np.argsort(ranks, kind="stable")
        ranks = ranks[order]
        first = np.ones(len(ranks), np.bool_)
        first[1:] = ranks[1:] != ranks[:-1]
        masks = (np.cumsum(first) - 1).astype(np.int32)
        return cls(n_cells, cells[order].astype(np.int32), masks, np.flatnonzero(first))

    def winning_means(self, sums: _F64, sizes: _F64, *, smallest: bool) -> _F64:
        """Return the mean of the winning mask of each cell, (n_cells,); NaN without a mask.

        Args:
            sums: (n_cells,) sums of the finite scores.
            sizes: (n_cells,) numbers of these.
            smallest: the smallest mask wins, not the largest.
        """
        pixels = self._members @ sizes
        means = self._members @ sums / np.maximum(pixels, 1)
        keep = (pixels > 0)[self.masks]
        cells, masks = self.cells[keep], self.masks[keep]
        if smallest:
            cells, masks = cells[::-1], masks[::-1]
        values = np.full(self.n_cells, np.nan)
        values[cells] = means[masks]  # the last of repeated indices stays
        return values

    def weighted_means(
        self, sums: _F64, squares: _F64, sizes: _F64, floor: float
    ) -> tuple[_F64, _F64, _F64]:
        """Add up the means of the masks of each cell, weighted by 1 / (floor + variance).

        Args:
            sums: (n_cells,) sums of the finite scores, standardised over the frame.
            squares: (n_cells,) sums of their squares.
            sizes: (n_cells,) numbers of these.
            floor: added to the variances.

        Returns:
            (n_cells,) each: weighted sum of the means, sum of the weights, number of masks.
        """
        pixels = self._members @ sizes
        seen = np.maximum(pixels, 1)
        means = self._members @ sums / seen
        variance = np.maximum(self._members @ squares / seen - means**2, 0)
        present = (pixels > 0).astype(np.float64)
        weights = present / (floor + variance)
        return (
            self._coverage @ (means * weights),
            self._coverage @ weights,
            self._coverage @ present,
        )

    @cached_property
    def _members(self) -> csr_array:
        """(M, n_cells), 1 if the mask covers the cell."""
        bounds = np.append(self.starts, len(self.cells))
        shape = (len(self.starts), self.n_cells)
        return csr_array((np.ones(len(self.cells)), self.cells, bounds), shape=shape)

    @cached_property
    def _coverage(self) -> csr_array:
        """(n_cells, M), the same."""
        return self._members.T.tocsr()
