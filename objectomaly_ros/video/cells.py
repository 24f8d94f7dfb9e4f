"""OASC for many frames with the same masks: a map of cells, and the masks that cover each cell."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.arrays.checks import check_label_maps, check_score
from objectomaly_ros.arrays.mask_stack import MaskStack
from objectomaly_ros.oasc import PAPER, OascRule, blend
from objectomaly_ros.types import LabelMaps, Masks, ScoreMap
from objectomaly_ros.video.fusion import StandardScore, Votes, fuse
from objectomaly_ros.video.incidence import CellIncidence
from objectomaly_ros.video.partition import cells_of_label_maps, cells_of_masks
from objectomaly_ros.video.run_length import RunLengths


class Cells:
    """The distinct sets of covering masks, numbered, ready to calibrate frame after frame.

    All pixels of a cell lie under the same masks. So the sums of a frame's score over the cells
    give the means of the masks, and these the calibrated map, equal to that of `oasc.calibrate`.

    When the scene moves, move the ids, never the scores: `with_ids` gives OASC with the moved
    masks, which keep their original rank by area.

    Memory: 4 bytes a pixel for the ids, 8 more during construction, and 8 bytes for each pair of a
    cell and a mask that covers it.

    Attributes:
        ids: (H, W) int32, 0 in pixels without a mask; for reading only.
        rule: how OASC uses the means of the masks.
    """

    def __init__(
        self, ids: npt.NDArray[np.int32], incidence: CellIncidence, rule: OascRule
    ) -> None:
        """Join ids and incidence; call `from_masks`, `from_label_maps` or `with_ids` instead."""
        self.ids = ids
        self.rule = rule
        self._incidence = incidence
        self._runs = RunLengths(ids, incidence.n_cells)

    @property
    def n_masks(self) -> int:
        """Number of masks with a pixel on their original map."""
        return len(self._incidence.starts)

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
        """Build the cells of `masks` for score maps of `shape`, (H, W).

        For `rule` see `OascRule`; the other arguments and the errors are those of `oasc.calibrate`.
        """
        stack = MaskStack(masks, _checked_shape(shape), areas, boxes)
        return cls(*cells_of_masks(stack), rule)

    @classmethod
    def from_label_maps(
        cls, label_maps: LabelMaps, shape: tuple[int, int], *, rule: OascRule = PAPER
    ) -> Cells:
        """Build the cells of label maps: as `from_masks` with a mask for each region, but faster.

        Args:
            label_maps: (T, h, w) integer, the region of every pixel, -1 for none; any resolution.
                Equal labels in different maps are different masks.
            shape: (H, W) of the score maps.
            rule: see `OascRule`.

        Raises:
            TypeError: the label maps are not integers.
            ValueError: a shape does not fit.
        """
        return cls(*cells_of_label_maps(check_label_maps(label_maps), _checked_shape(shape)), rule)

    def with_ids(self, ids: npt.NDArray[np.integer]) -> Cells:
        """Return the cells of the same masks, moved.

        Args:
            ids: (H, W) integer, the ids at their new pixels, 0 in pixels without a mask.

        Raises:
            TypeError: the ids are not integers.
            ValueError: the shape differs, or an id is unknown.
        """
        ids = np.asarray(ids)
        if not np.issubdtype(ids.dtype, np.integer):
            raise TypeError(f"ids must be integers, got {ids.dtype}: warp them by nearest pixel")
        if ids.shape != self.ids.shape:
            raise ValueError(f"ids must keep the shape {self.ids.shape}, got {ids.shape}")
        low, high, last = int(ids.min()), int(ids.max()), self._incidence.n_cells - 1
        if low < 0 or high > last:
            raise ValueError(f"ids must lie in 0..{last}, found {low}..{high}")
        return Cells(np.ascontiguousarray(ids, dtype=np.int32), self._incidence, self.rule)

    def calibrate(
        self, score: ScoreMap, age_s: float = 0.0, frame_cells: Cells | None = None
    ) -> ScoreMap:
        """Return OASC of `score` with the masks of these cells; see `oasc.calibrate`.

        Args:
            score: (H, W) floating point, of the ids' shape.
            age_s: seconds from the masks' keyframe to this frame, for `OascRule.fade_s`.
            frame_cells: of masks of this frame, which `inverse_variance` fuses with the others; the
                other rules ignore them.

        Returns:
            (H, W) float32, a new array.

        Raises:
            TypeError: `score` is not floating point.
            ValueError: its shape is not that of the ids.
        """
        score = check_score(score)
        if score.shape != self.ids.shape:
            raise ValueError(f"the score has shape {score.shape}, the cells {self.ids.shape}")
        if self.rule.overlap == "inverse_variance":
            standard = StandardScore(score)
            other = None if frame_cells is None else frame_cells._votes(standard, 0.0)
            return fuse(score, standard, self._votes(standard, age_s), other)
        return self._winners(score, self.rule.kept(age_s))

    def _votes(self, standard: StandardScore, age_s: float) -> Votes:
        return Votes.of(standard, self._incidence, self._runs, self.rule.kept(age_s))

    def _winners(self, score: ScoreMap, residual: float) -> ScoreMap:
        """Give each pixel the mean of its winning mask, blended with its own score."""
        runs, sizes = self._runs, self._runs.sizes
        sums = runs.sums(score)
        if not np.isfinite(sums).all():  # take means over the finite pixels
            finite = np.isfinite(score)
            sums = runs.sums(np.where(finite, score, np.float32(0)))
            sizes = runs.sums(finite.astype(np.float32))
        smallest = self.rule.overlap == "smallest"
        means = self._incidence.winning_means(sums, sizes, smallest=smallest)
        result = blend(runs.to_pixels(means.astype(np.float32)), score, residual)
        cv2.copyTo(score, np.isnan(result).view(np.uint8), result)  # pixels without a mask
        return result


def _checked_shape(shape: tuple[int, int]) -> tuple[int, int]:
    height, width = (int(side) for side in shape)
    if height < 1 or width < 1:
        raise ValueError(f"the map needs at least one pixel, got shape {shape}")
    return height, width
