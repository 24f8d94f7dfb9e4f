"""OASC for many frames with the same masks: a map of cells and what each mask is made of."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.arrays.checks import check_label_maps, check_score
from objectomaly_ros.arrays.mask_stack import MaskStack
from objectomaly_ros.oasc import PAPER, OascRule
from objectomaly_ros.types import LabelMaps, Masks, ScoreMap
from objectomaly_ros.video.incidence import CellIncidence, CellSums, CellVotes
from objectomaly_ros.video.mask_memory import MaskMemory
from objectomaly_ros.video.partition import cells_of_label_maps, cells_of_masks
from objectomaly_ros.video.run_length import RunLengths

_F32 = npt.NDArray[np.float32]
_F64 = npt.NDArray[np.float64]


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
        runs: the same as runs; for reading only.
    """

    def __init__(self, ids: npt.NDArray[np.int32], table: CellIncidence) -> None:
        """Join ids to their table; users call `from_masks`, `from_label_maps`, `with_ids`."""
        self.ids = ids
        self._table = table
        self.runs = RunLengths(ids, table.n_cells)
        self._uncovered = (ids == 0).view(np.uint8)

    @property
    def rule(self) -> OascRule:
        """How the masks' means are joined."""
        return self._table.rule

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
    def from_label_maps(
        cls,
        label_maps: LabelMaps,
        shape: tuple[int, int],
        *,
        rule: OascRule = PAPER,
    ) -> Cells:
        """Build the cells of label_maps: as `from_masks` with a mask for every region, but quickly.

        Args:
            label_maps: (T, h, w) integer, the region of every pixel, -1 for none; any resolution.
                Regions of different label_maps are different masks, whatever their number.
            shape: (H, W) of the score maps to come.
            rule: what a covered pixel takes; the default is the paper's form.

        Raises:
            TypeError: if the label_maps are not integers.
            ValueError: if a shape does not fit.
        """
        return cls(*cells_of_label_maps(check_label_maps(label_maps), _checked_shape(shape), rule))

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

    def calibrate(
        self, score: ScoreMap, age_s: float = 0.0, memory: MaskMemory | None = None
    ) -> ScoreMap:
        """Return OASC of `score` with these cells' masks; see `oasc.calibrate` for the rules.

        Args:
            score: (H, W) floating point, of the ids' shape.
            age_s: seconds from the frame that the masks were made for to this one, for `fade_s`.
            memory: of the same masks on the frames before; takes this frame in.

        Returns:
            (H, W) float32, a new array.

        Raises:
            TypeError: if `score` is not floating point.
            ValueError: if its shape is not that of the ids.
        """
        score = self._checked(score)
        if self._table.n_cells == 1:
            return score.copy()
        kept = self.rule.kept(age_s)
        finite, (cells, mean, deviation) = self._sums(score, age_s, memory)
        known = score if finite is None else np.where(finite, score, np.float32(0))
        values = self._table.values(cells, kept)
        means = (mean + deviation * values.means).astype(np.float32)
        result = self._blended(known, means, values.shares, kept)
        unseen = self._uncovered
        if finite is not None:
            spread = self.runs.to_pixels(means)
            result = np.where(finite, result, spread)
            unseen = np.isnan(spread).view(np.uint8)
        cv2.copyTo(score, unseen, result)
        return np.asarray(result, np.float32)

    def votes(
        self, score: ScoreMap, age_s: float = 0.0, memory: MaskMemory | None = None
    ) -> CellVotes:
        """Return what these masks say of each cell, for `fusion`; arguments as of `calibrate`.

        Raises:
            ValueError: the rule has no votes: only `inverse_variance` has.
        """
        if self.rule.overlap != "inverse_variance":
            raise ValueError(f"masks under the rule {self.rule.overlap!r} have no votes to add")
        score = self._checked(score)
        finite, (cells, mean, deviation) = self._sums(score, age_s, memory)
        values = self._table.values(cells, self.rule.kept(age_s))
        assert values.shares is not None
        assert values.weights is not None
        seen = values.weights > 0
        slopes = np.where(seen, values.shares * values.weights, 0)
        means = np.where(seen, mean + deviation * values.means, 0)
        # Where nothing but the own score counts the mean may be NaN: it has no weight.
        constants = np.where(slopes < values.weights, means * (values.weights - slopes), 0)
        return CellVotes(constants, slopes, values.weights, finite is None)

    def remember(self, score: ScoreMap, age_s: float, memory: MaskMemory) -> None:
        """Take a frame into `memory` without calibrating it; arguments as of `calibrate`."""
        score = self._checked(score)
        if memory.memory_s == 0:
            return
        finite = np.isfinite(score)
        self._summed(np.where(finite, score, np.float32(0)), finite, age_s, memory)

    def _checked(self, score: ScoreMap) -> ScoreMap:
        score = check_score(score)
        if score.shape != self.ids.shape:
            raise ValueError(f"the score has shape {score.shape}, the cells {self.ids.shape}")
        return score

    def _blended(self, score: ScoreMap, means: _F32, shares: _F64 | None, kept: float) -> ScoreMap:
        """Join each pixel's mean with what it keeps of its score."""
        if shares is not None:
            own = shares.astype(np.float32)
            result = cv2.multiply(score, self.runs.to_pixels(own))
            return np.asarray(cv2.add(result, self.runs.to_pixels(means * (1 - own))), np.float32)
        if kept == 0:
            return self.runs.to_pixels(means)
        blended = cv2.addWeighted(self.runs.to_pixels(means), 1 - kept, score, kept, 0)
        return np.asarray(blended, np.float32)

    def _sums(
        self, score: ScoreMap, age_s: float, memory: MaskMemory | None
    ) -> tuple[npt.NDArray[np.bool_] | None, tuple[CellSums, float, float]]:
        """Return where the score is finite, None if it is under all masks, and what `_summed` does.

        Pixels that are NaN or infinite are left out of the means.
        """
        summed = self._summed(score, None, age_s, memory)
        if summed is not None:
            return None, summed
        finite = np.isfinite(score)
        summed = self._summed(np.where(finite, score, np.float32(0)), finite, age_s, memory)
        assert summed is not None
        return finite, summed

    def _summed(
        self,
        score: ScoreMap,
        finite: npt.NDArray[np.bool_] | None,
        age_s: float,
        memory: MaskMemory | None,
    ) -> tuple[CellSums, float, float] | None:
        """Sum the score over each cell, with what `memory` holds.

        Args:
            score: (H, W), 0 where it is not finite.
            finite: (H, W), where it is; None if it is not known.
            age_s: as of `calibrate`.
            memory: as of `calibrate`.

        Returns:
            the sums in units of which `mean + deviation * value` is a score, and those two; None
            if a mask holds a pixel that is not finite.
        """
        mean, deviation, squares = 0.0, 1.0, None
        if self.rule.overlap == "inverse_variance":
            # In units of the frame's own spread, which also keeps the squares exact and small.
            seen = None if finite is None else finite.view(np.uint8)
            mean, deviation = (float(number[0, 0]) for number in cv2.meanStdDev(score, mask=seen))
            with np.errstate(invalid="ignore"):
                score = (score - np.float32(mean)) * np.float32(1 / deviation if deviation else 0)
            if finite is not None:
                score[~finite] = 0
            squares = self.runs.sums(score * score)
        sums = self.runs.sums(score)
        if finite is None and not np.isfinite(sums[1:]).all():
            return None
        sizes = self.runs.sizes if finite is None else self.runs.sums(finite.astype(np.float32))
        cells = CellSums(sums, sizes, squares)
        return (cells if memory is None else memory.joined(cells, age_s)), mean, deviation


def _checked_shape(shape: tuple[int, int]) -> tuple[int, int]:
    height, width = (int(side) for side in shape)
    if height < 1 or width < 1:
        raise ValueError(f"the map needs at least one pixel, got shape {shape}")
    return height, width
