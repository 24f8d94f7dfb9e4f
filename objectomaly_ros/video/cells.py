"""OASC for many frames with the same masks: a map of cells, and the masks that cover each."""

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
    """The distinct sets of covering masks, one id each, ready to calibrate frame after frame.

    All pixels of a cell lie under the same masks, so a frame needs only the sum of its score over
    each cell: the means of the masks and the calibrated map follow from the incidence. `calibrate`
    equals `oasc.calibrate` with the same masks.

    When the scene moves, move the ids and never the scores: `with_ids` then gives OASC with the
    moved masks, which keep the rank by area that they had when the cells were made.

    Memory: 4 bytes a pixel for the ids, 8 more during construction, and 8 bytes for each pair of
    a cell and a mask that covers it.

    Attributes:
        ids: (H, W) int32, 0 in pixels without a mask; for reading only.
        rule: how the means of the masks are used.
    """

    def __init__(
        self, ids: npt.NDArray[np.int32], incidence: CellIncidence, rule: OascRule
    ) -> None:
        """Join ids and incidence; users call `from_masks`, `from_label_maps` or `with_ids`."""
        self.ids = ids
        self.rule = rule
        self._incidence = incidence
        self._runs = RunLengths(ids, incidence.n_cells)

    @property
    def n_masks(self) -> int:
        """Number of masks that have a pixel on the map they were made for."""
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
        """Build the cells of `masks` on a map of `shape`.

        Args:
            masks: (N, h, w) bool, any resolution; N may be 0.
            shape: (H, W) of the score maps to come.
            rule: see `OascRule`; the default is the paper's form.
            areas: (N,) what masks are ranked by; their pixel counts at (h, w) if None.
            boxes: (N, 4) x, y, width, height at (h, w), each holding its whole mask; found in the
                masks if None.

        Raises:
            TypeError: if the masks are not bool.
            ValueError: if a shape does not fit, or `areas` or `boxes` do not.
        """
        stack = MaskStack(masks, _checked_shape(shape), areas, boxes)
        return cls(*cells_of_masks(stack), rule)

    @classmethod
    def from_label_maps(
        cls, label_maps: LabelMaps, shape: tuple[int, int], *, rule: OascRule = PAPER
    ) -> Cells:
        """Build the cells of label maps: as `from_masks` with a mask for each region, but quickly.

        Args:
            label_maps: (T, h, w) integer, the region of every pixel, -1 for none; any resolution.
                Regions of different maps are different masks, whatever their number.
            shape: (H, W) of the score maps to come.
            rule: see `OascRule`; the default is the paper's form.

        Raises:
            TypeError: if the label maps are not integers.
            ValueError: if a shape does not fit.
        """
        return cls(*cells_of_label_maps(check_label_maps(label_maps), _checked_shape(shape)), rule)

    def with_ids(self, ids: npt.NDArray[np.integer]) -> Cells:
        """Return cells of the same masks after their pixels moved.

        Args:
            ids: (H, W) integer, ids of this object at new places, 0 in pixels without a mask.

        Raises:
            TypeError: if the ids are not integers.
            ValueError: if the shape differs, or an id is unknown.
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
        """Return OASC of `score` with these cells' masks; see `oasc.calibrate` for the rules.

        Args:
            score: (H, W) floating point, of the ids' shape.
            age_s: seconds from the keyframe of the masks to this frame, for `OascRule.fade_s`.
            frame_cells: of masks of this frame, fused with the others under `inverse_variance`;
                not used under the other rules.

        Returns:
            (H, W) float32, a new array.

        Raises:
            TypeError: if `score` is not floating point.
            ValueError: if its shape is not that of the ids.
        """
        score = check_score(score)
        if score.shape != self.ids.shape:
            raise ValueError(f"the score has shape {score.shape}, the cells {self.ids.shape}")
        if self.rule.overlap == "inverse_variance":
            standard = StandardScore(score)
            votes = [self._votes(standard, age_s)]
            if frame_cells is not None:
                votes.append(frame_cells._votes(standard, 0.0))
            return fuse(score, standard, *votes)
        return self._winners(score, self.rule.kept(age_s))

    def _votes(self, standard: StandardScore, age_s: float) -> Votes:
        return Votes.of(standard, self._incidence, self._runs, self.rule.kept(age_s))

    def _winners(self, score: ScoreMap, residual: float) -> ScoreMap:
        """Give each pixel the mean of the mask that wins it, blended with its own score."""
        runs, sizes = self._runs, self._runs.sizes
        sums = runs.sums(score)
        if not np.isfinite(sums).all():  # means are those of the finite pixels
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
