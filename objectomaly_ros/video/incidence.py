"""Which masks cover which cells, and what each cell takes of their means."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from objectomaly_ros.oasc import VARIANCE_FLOOR, OascRule

_F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CellSums:
    """Sums of a score over the pixels of each cell.

    Attributes:
        sums: (n_cells,) of the score.
        sizes: (n_cells,) of the pixels summed.
        squares: (n_cells,) of the squared score, for `inverse_variance`; None with other rules.
    """

    sums: _F64
    sizes: _F64
    squares: _F64 | None = None

    def plus(self, other: CellSums, share: float) -> CellSums:
        """Return these sums and `share`, 0 to 1, of others of the same cells."""
        squares = None
        if self.squares is not None and other.squares is not None:
            squares = self.squares + share * other.squares
        return CellSums(self.sums + share * other.sums, self.sizes + share * other.sizes, squares)


@dataclass(frozen=True)
class CellValues:
    """What each cell takes.

    Attributes:
        means: (n_cells,) of its masks' scores, joined; NaN where no mask is seen.
        shares: (n_cells,) of its own score that it keeps; None where it is the rule's everywhere.
        weights: (n_cells,) of means and own score together, beside other masks of the frame; 0
            where no mask is seen; None likewise.
    """

    means: _F64
    shares: _F64 | None = None
    weights: _F64 | None = None


@dataclass(frozen=True)
class CellVotes:
    """What the masks of each cell say of it, to be added to what further masks say.

    Where the votes of all masks add up to these three, a pixel takes
    (constants + slopes * its score) / weights.

    Attributes:
        constants, slopes, weights: (n_cells,), 0 where no mask is seen.
        finite: whether all pixels under masks are.
    """

    constants: _F64
    slopes: _F64
    weights: _F64
    finite: bool


@dataclass(frozen=True)
class CellIncidence:
    """Pairs of a cell and a mask that covers it, sorted by mask.

    Attributes:
        n_cells: number of cells, the uncovered cell 0 included.
        cells: (P,) cell of each pair.
        masks: (P,) mask of each pair, ascending; masks count from 0 by ascending area, without
            those that have no pixel.
        starts: (M,) first pair of each mask.
        rule: how their means are joined.
    """

    n_cells: int
    cells: npt.NDArray[np.int32]
    masks: npt.NDArray[np.int32]
    starts: npt.NDArray[np.intp]
    rule: OascRule

    @classmethod
    def from_pairs(
        cls,
        n_cells: int,
        cells: npt.NDArray[np.integer],
        ranks: npt.NDArray[np.integer],
        rule: OascRule,
    ) -> CellIncidence:
        """Build a table of pairs in any order.

        Args:
            n_cells: number of cells.
            cells: (P,) cell of each pair.
            ranks: (P,) rank by area of its mask, each mask its own; some may be missing.
            rule: how means are joined.
        """
        order = np.argsort(ranks, kind="stable")
        ranks = ranks[order]
        first = np.ones(len(ranks), np.bool_)
        first[1:] = ranks[1:] != ranks[:-1]
        masks = (np.cumsum(first) - 1).astype(np.int32)
        return cls(n_cells, cells[order].astype(np.int32), masks, np.flatnonzero(first), rule)

    def values(self, cells: CellSums, kept: float) -> CellValues:
        """Return what each cell takes.

        Args:
            cells: finite sums over each cell; `inverse_variance` wants their squares too, of a
                score whose variance over the frame is 1.
            kept: the residual to use, 0 to 1.
        """
        sizes = self._members @ cells.sizes
        present = sizes > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            means = (self._members @ cells.sums) / sizes
            if cells.squares is None:
                return CellValues(self._of_owners(means, present))
            spread = np.maximum(self._members @ cells.squares / sizes - means * means, 0)
        agreeing = np.where(present, 1 / (VARIANCE_FLOOR + np.where(present, spread, 0)), 0)
        total = self._coverage @ agreeing
        own = kept / (VARIANCE_FLOOR + 1) * (self._coverage @ present.astype(np.float64))
        weights = own + (1 - kept) * total
        with np.errstate(invalid="ignore", divide="ignore"):
            average = self._coverage @ (np.where(present, means, 0) * agreeing) / total
            return CellValues(average, own / weights, weights)

    @cached_property
    def _members(self) -> csr_array:
        """(M, n_cells), 1 where the mask covers the cell."""
        bounds = np.append(self.starts, len(self.cells))
        shape = (len(self.starts), self.n_cells)
        return csr_array((np.ones(len(self.cells)), self.cells, bounds), shape=shape)

    @cached_property
    def _coverage(self) -> csr_array:
        """The same, (n_cells, M)."""
        return self._members.T.tocsr()

    def _of_owners(self, means: _F64, present: npt.NDArray[np.bool_]) -> _F64:
        """Give each cell the mean of the one mask that wins there."""
        keep = present[self.masks]
        cells, masks = self.cells[keep], self.masks[keep]
        if self.rule.overlap == "smallest":
            cells, masks = cells[::-1], masks[::-1]
        values = np.full(self.n_cells, np.nan)
        values[cells] = means[masks]  # the last of repeated indices stays
        return values
