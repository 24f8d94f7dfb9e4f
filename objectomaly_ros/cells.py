"""OASC for many frames with the same masks: a map of cells and what each mask is made of."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.cell_table import CellTable
from objectomaly_ros.mask_stack import MaskStack, check_score, check_tilings
from objectomaly_ros.oasc_rule import PAPER, OascRule
from objectomaly_ros.partition import cells_of_masks, cells_of_tilings
from objectomaly_ros.types import Masks, ScoreMap, Tilings

_F32 = npt.NDArray[np.float32]


class Cells:
    """The distinct sets of covering masks, one id each, ready to calibrate frame after frame.

    All pixels of a cell lie under the same masks, so a frame needs only the sum of its score over
    each cell: the mask means and the calibrated map follow from a table. `calibrate` equals
    `oasc.calibrate` with the masks the cells were made of.

    When the scene moves, move the ids and never the scores: `with_ids` then gives OASC with the
    moved masks, which keep the rank by area that they had when the cells were made.

    Memory: 4 bytes a pixel for the ids, 8 more during construction, and 8 bytes for each pair of
    a cell and a mask that covers it.

    Attributes:
        ids: (H, W) int32, 0 where no mask lies; for reading only.
    """

    def __init__(self, ids: npt.NDArray[np.int32], table: CellTable) -> None:
        """Join a map of ids to its table; users call `from_masks`, `from_tilings`, `with_ids`."""
        self.ids = ids
        self._table = table
        starts = np.empty(ids.shape, dtype=np.bool_)
        starts[:, 0] = True  # runs end with their row: short float32 sums stay exact enough
        np.not_equal(ids[:, 1:], ids[:, :-1], out=starts[:, 1:])
        self._starts = np.flatnonzero(starts)
        self._lengths = np.diff(self._starts, append=ids.size)
        self._run_ids = ids.ravel()[self._starts]
        self._cell_sizes = self._per_cell(self._lengths)
        self._uncovered = (ids == 0).view(np.uint8)

    @property
    def n_masks(self) -> int:
        """Number of masks that have a pixel on the map they were made for."""
        return len(self._table.starts)

    @classmethod
    def from_masks(
        cls,
        masks: Masks,
        shape: tuple[int, int],
        *,
        rule: OascRule = PAPER,
        areas: npt.ArrayLike | None = None,
        boxes: npt.ArrayLike | None = None,
    ) -> Cells:
        """Build the cells of `masks` on a map of `shape`.

        Args:
            masks: (N, h, w) bool, any resolution; N may be 0.
            shape: (H, W) of the score maps to come.
            rule: what a covered pixel takes; the default is the paper's form.
            areas: (N,) what masks are ordered by; their pixel counts at (h, w) if None.
            boxes: (N, 4) x, y, width, height at (h, w), each holding its whole mask; looked for in
                the masks if None.

        Raises:
            TypeError: if the masks are not bool.
            ValueError: if a shape does not fit, or `areas` or `boxes` do not.
        """
        stack = MaskStack(masks, _checked_shape(shape), areas, boxes)
        return cls(*cells_of_masks(stack, rule))

    @classmethod
    def from_tilings(
        cls,
        tilings: Tilings,
        shape: tuple[int, int],
        *,
        rule: OascRule = PAPER,
    ) -> Cells:
        """Build the cells of tilings: as `from_masks` with a mask for every region, but quickly.

        Args:
            tilings: (T, h, w) integer, the region of every pixel, -1 for none; any resolution.
                Regions of different tilings are different masks, whatever their number.
            shape: (H, W) of the score maps to come.
            rule: what a covered pixel takes; the default is the paper's form.

        Raises:
            TypeError: if the tilings are not integers.
            ValueError: if a shape does not fit.
        """
        return cls(*cells_of_tilings(check_tilings(tilings), _checked_shape(shape), rule))

    def with_ids(self, ids: npt.NDArray[np.integer]) -> Cells:
        """Return cells of the same masks after their pixels moved.

        Args:
            ids: (H, W) integer, ids of this object at new places, 0 where no mask lies.

        Raises:
            TypeError: if the ids are not integers.
            ValueError: if the shape differs, or an id is unknown.
        """
        ids = np.asarray(ids)
        if not np.issubdtype(ids.dtype, np.integer):
            raise TypeError(f"ids must be integers, got {ids.dtype}: warp them by nearest pixel")
        if ids.shape != self.ids.shape:
            raise ValueError(f"ids must keep the shape {self.ids.shape}, got {ids.shape}")
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= self._table.n_cells:
            raise ValueError(f"ids must lie in 0..{self._table.n_cells - 1}, found {low}..{high}")
        return Cells(np.ascontiguousarray(ids, dtype=np.int32), self._table)

    def calibrate(self, score: ScoreMap, age_s: float = 0.0) -> ScoreMap:
        """Return OASC of `score` with these cells' masks; see `oasc.calibrate` for the rules.

        Args:
            score: (H, W) floating point, of the ids' shape.
            age_s: seconds from the frame that the masks were made for to this one, for `fade_s`.

        Returns:
            (H, W) float32, a new array.

        Raises:
            TypeError: if `score` is not floating point.
            ValueError: if its shape is not that of the ids.
        """
        score = check_score(score)
        if score.shape != self.ids.shape:
            raise ValueError(f"the score has shape {score.shape}, the cells {self.ids.shape}")
        if self._table.n_cells == 1:
            return score.copy()
        kept = self._table.rule.kept(age_s)
        means, shares, valid = self._values(score, self._cell_sizes, kept)
        if valid:
            result = self._blended(score, means, shares, kept)
            cv2.copyTo(score, self._uncovered, result)
            return result
        # Some masks hold NaN or infinite pixels: leave those out of the means.
        finite = np.isfinite(score)
        sizes = self._cell_sums(finite.astype(np.float32))
        known = np.where(finite, score, np.float32(0))
        means, shares, _ = self._values(known, sizes, kept, finite)
        result = np.where(
            finite, self._blended(known, means, shares, kept), self._spread(means)
        ).astype(np.float32)
        unseen = np.isnan(self._spread(means)).view(np.uint8)
        cv2.copyTo(score, unseen, result)
        return result

    def _blended(self, score: ScoreMap, means: _F32, shares: _F32 | None, kept: float) -> ScoreMap:
        """Join each pixel's mean with what it keeps of its score."""
        if shares is not None:
            result = cv2.multiply(score, self._spread(shares))
            return np.asarray(cv2.add(result, self._spread(means * (1 - shares))), np.float32)
        if kept == 0:
            return self._spread(means)
        blended = cv2.addWeighted(self._spread(means), 1 - kept, score, kept, 0)
        return np.asarray(blended, np.float32)

    def _spread(self, values: _F32) -> ScoreMap:
        """Bring a value of each cell to its pixels."""
        return np.repeat(values[self._run_ids], self._lengths).reshape(self.ids.shape)

    def _values(
        self,
        score: ScoreMap,
        sizes: npt.NDArray[np.float64],
        kept: float,
        finite: npt.NDArray[np.bool_] | None = None,
    ) -> tuple[_F32, _F32 | None, bool]:
        """Return what `CellTable.values` does; `score` is 0 where it is not `finite`."""
        if self._table.rule.overlap != "agreement":
            means, _, valid = self._table.values(self._cell_sums(score), sizes, None, kept)
            return means.astype(np.float32), None, valid
        # In units of the frame's own spread, which also keeps the squares exact and small.
        seen = None if finite is None else finite.view(np.uint8)
        mean, deviation = (float(number[0, 0]) for number in cv2.meanStdDev(score, mask=seen))
        with np.errstate(invalid="ignore"):
            standard = (score - np.float32(mean)) * np.float32(1 / deviation if deviation else 0)
        if finite is not None:
            standard[~finite] = 0
        sums, squares = self._cell_sums(standard), self._cell_sums(standard * standard)
        means, shares, valid = self._table.values(sums, sizes, squares, kept)
        assert shares is not None
        return (mean + deviation * means).astype(np.float32), shares.astype(np.float32), valid

    def _cell_sums(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        with np.errstate(invalid="ignore", over="ignore"):
            runs = np.add.reduceat(values.ravel(), self._starts)
        return self._per_cell(runs)

    def _per_cell(self, runs: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Sum a value of each run over the runs of each cell."""
        sums = np.bincount(self._run_ids, weights=runs, minlength=self._table.n_cells)
        return sums.astype(np.float64, copy=False)


def _checked_shape(shape: tuple[int, int]) -> tuple[int, int]:
    height, width = (int(side) for side in shape)
    if height < 1 or width < 1:
        raise ValueError(f"the map needs at least one pixel, got shape {shape}")
    return height, width
