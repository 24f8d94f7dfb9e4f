"""OASC for many frames with the same masks: a map of cells and what each mask is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.mask_stack import MaskStack, Overlap, check_overlap, check_score
from objectomaly_ros.types import Masks, ScoreMap

_BITS = 64  # masks that one word of the construction holds


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

    def __init__(self, ids: npt.NDArray[np.int32], table: _Table) -> None:
        """Join a map of ids to its table; users call `from_masks` or `with_ids`."""
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

    @classmethod
    def from_masks(
        cls,
        masks: Masks,
        shape: tuple[int, int],
        *,
        overlap: Overlap = "largest",
        areas: npt.ArrayLike | None = None,
        boxes: npt.ArrayLike | None = None,
    ) -> Cells:
        """Build the cells of `masks` on a map of `shape`.

        Args:
            masks: (N, h, w) bool, any resolution; N may be 0.
            shape: (H, W) of the score maps to come.
            overlap: which mask wins where several overlap.
            areas: (N,) what masks are ordered by; their pixel counts at (h, w) if None.
            boxes: (N, 4) x, y, width, height at (h, w), each holding its whole mask; looked for in
                the masks if None.

        Raises:
            TypeError: if the masks are not bool.
            ValueError: if a shape does not fit, or `overlap` is unknown.
        """
        check_overlap(overlap)
        height, width = (int(side) for side in shape)
        if height < 1 or width < 1:
            raise ValueError(f"the map needs at least one pixel, got shape {shape}")
        stack = MaskStack(masks, (height, width), areas, boxes)
        ids, covered_by = _partition(stack, stack.ascending())
        return cls(ids, _Table.from_words(covered_by, len(stack), overlap))

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

    def calibrate(self, score: ScoreMap) -> ScoreMap:
        """Return OASC of `score` with these cells' masks; see `oasc.calibrate` for the rules.

        Args:
            score: (H, W) floating point, of the ids' shape.

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
        sums = self._cell_sums(score)
        sizes, keep = self._cell_sizes, self._uncovered
        values, valid = self._table.values(sums, sizes)
        if not valid:  # some masks hold NaN or infinite pixels: leave those out of the means
            finite = np.isfinite(score)
            sums = self._cell_sums(np.where(finite, score, np.float32(0)))
            sizes = self._cell_sums(finite.astype(np.float32))
            values, _ = self._table.values(sums, sizes)
            keep = np.repeat(np.isnan(values)[self._run_ids], self._lengths).reshape(score.shape)
            keep = keep.view(np.uint8)
        result = np.repeat(values[self._run_ids], self._lengths).reshape(score.shape)
        cv2.copyTo(score, keep, result)
        return result

    def _cell_sums(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        with np.errstate(invalid="ignore", over="ignore"):
            runs = np.add.reduceat(values.ravel(), self._starts)
        return self._per_cell(runs)

    def _per_cell(self, runs: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Sum a value of each run over the runs of each cell."""
        sums = np.bincount(self._run_ids, weights=runs, minlength=self._table.n_cells)
        return sums.astype(np.float64, copy=False)


@dataclass(frozen=True)
class _Table:
    """Which masks cover which cells, as pairs, and who wins.

    Attributes:
        n_cells: number of cells, the uncovered cell 0 included.
        cells: (P,) cell of each pair; pairs are sorted by mask, ascending by rank.
        masks: (P,) mask of each pair, counted without the masks that have no pixel.
        starts: (M,) first pair of each mask.
        largest: whether the mask of highest rank wins, else that of lowest.
    """

    n_cells: int
    cells: npt.NDArray[np.int32]
    masks: npt.NDArray[np.int32]
    starts: npt.NDArray[np.intp]
    largest: bool

    @classmethod
    def from_words(
        cls, words: list[npt.NDArray[np.uint64]], n_masks: int, overlap: Overlap
    ) -> _Table:
        """Unpack `words`: bit k of `words[g][c]` tells if mask 64 g + k, by rank, covers cell c."""
        cells, counts = [], []
        for group, word in enumerate(words):
            for bit in range(min(_BITS, n_masks - group * _BITS)):
                member = np.flatnonzero((word >> np.uint64(bit)) & np.uint64(1))
                if len(member):
                    cells.append(member.astype(np.int32))
                    counts.append(len(member))
        n_cells = len(words[0]) if words else 1
        pairs = np.concatenate(cells) if cells else np.zeros(0, np.int32)
        masks = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.intp)
        return cls(n_cells, pairs, masks, starts[: len(counts)], overlap == "largest")

    def values(
        self, sums: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float32], bool]:
        """Return the value that each cell takes, NaN where none does, and whether all is finite.

        Args:
            sums: (n_cells,) the score summed over each cell.
            sizes: (n_cells,) number of pixels summed.
        """
        mask_sizes = np.add.reduceat(sizes[self.cells], self.starts)
        with np.errstate(invalid="ignore", divide="ignore"):
            mask_sums = np.add.reduceat(sums[self.cells], self.starts)
            means = (mask_sums / mask_sizes).astype(np.float32)
        present = mask_sizes > 0
        owner = self._owners(present)
        values = np.full(self.n_cells, np.nan, dtype=np.float32)
        values[owner >= 0] = means[owner[owner >= 0]]
        return values, bool(np.isfinite(means[present]).all())

    def _owners(self, present: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
        """Return the (n_cells,) winning mask among those `present`, -1 where there is none."""
        keep = present[self.masks]
        cells, masks = self.cells[keep], self.masks[keep]
        if not self.largest:
            cells, masks = cells[::-1], masks[::-1]
        owner = np.full(self.n_cells, -1, dtype=np.intp)
        owner[cells] = masks  # the last of repeated indices stays
        return owner


def _partition(
    stack: MaskStack, order: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.int32], list[npt.NDArray[np.uint64]]]:
    """Give every distinct set of covering masks an id.

    Masks are taken 64 at a time as the bits of one word a pixel, then the cells found so far are
    split by the distinct words. Only the ends of horizontal runs are compared.

    Returns:
        (H, W) int32 ids, and for each group of 64 masks, in `order`, the word of each cell.
    """
    ids = np.zeros(stack.shape, dtype=np.int32)
    words: list[npt.NDArray[np.uint64]] = []
    for first in range(0, len(order), _BITS):
        word = np.zeros(stack.shape, dtype=np.uint64)
        for bit, index in enumerate(order[first : first + _BITS]):
            located = stack.crop(index)
            if located is not None:
                box, mask = located
                word[box] |= mask.astype(np.uint64) << np.uint64(bit)
        flat_ids, flat_word = ids.ravel(), word.ravel()
        differs = flat_word[1:] != flat_word[:-1]
        differs |= flat_ids[1:] != flat_ids[:-1]
        starts = np.concatenate([[0], np.flatnonzero(differs) + 1])
        lengths = np.diff(starts, append=ids.size)
        distinct, which = np.unique(flat_word[starts], return_inverse=True)
        pair = flat_ids[starts].astype(np.int64) * len(distinct) + which
        pairs, run_ids = np.unique(pair, return_inverse=True)
        parents, own = pairs // len(distinct), pairs % len(distinct)
        words = [older[parents] for older in words] + [distinct[own]]
        ids = np.repeat(run_ids.astype(np.int32), lengths).reshape(stack.shape)
    return _zero_uncovered(ids, words)


def _zero_uncovered(
    ids: npt.NDArray[np.int32], words: list[npt.NDArray[np.uint64]]
) -> tuple[npt.NDArray[np.int32], list[npt.NDArray[np.uint64]]]:
    """Keep id 0 for the uncovered cell where every pixel is covered."""
    if words and any(word[0] for word in words):
        words = [np.concatenate([np.zeros(1, np.uint64), word]) for word in words]
        ids = ids + np.int32(1)
    return ids, words
