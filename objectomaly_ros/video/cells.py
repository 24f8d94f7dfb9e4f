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
            votes = [self._votes(standard, age_s)]
            if frame_cells is not None:
                votes.append(frame_cells._votes(standard, 0.0))
            return fuse(score, standard, votes)
        return _blended(self._means(score), score, self.rule.kept(age_s))

    def _votes(self, standard: StandardScore, age_s: float) -> Votes:
        return Votes.of(standard, self._incidence, self._runs, self.rule.kept(age_s))

    def _means(self, score: ScoreMap) -> ScoreMap:
        """Return the mean of the winning mask of each pixel; NaN without a mask."""
        runs, sizes = self._runs, self._runs.sizes
        sums = runs.sums(score)
        if not np.isfinite(sums).all():  # take means over the finite pixels
            finite = np.isfinite(score)
            sums = runs.sums(np.where(finite, score, np.float32(0)))
            sizes = runs.sums(finite.astype(np.float32))
        smallest = self.rule.overlap == "smallest"
        means = self._incidence.winning_means(sums, sizes, smallest=smallest)
        return runs.to_pixels(means.astype(np.float32))


def calibrate_between(
    score: ScoreMap,
    before: tuple[Cells, float],
    after: tuple[Cells, float],
    frame_cells: Cells | None = None,
) -> ScoreMap:
    """Return OASC of a frame between two keyframes, with the masks of both.

    Under `inverse_variance` the masks of both vote, each with the weight of their age. Under the
    other rules a pixel takes the mean of its winning mask in either keyframe, weighted by the
    nearness of the keyframe. Both are constant where the ids of both are, as MBP needs it.

    Args:
        score: (H, W) floating point.
        before: masks of the keyframe before, warped to the frame, and seconds since then.
        after: of the keyframe after, and seconds until then; of the same rule.
        frame_cells: see `Cells.calibrate`.

    Returns:
        (H, W) float32, a new array.

    Raises:
        TypeError, ValueError: as of `Cells.calibrate`.
    """
    score = check_score(score)
    if not score.shape == before[0].ids.shape == after[0].ids.shape:
        raise ValueError(
            f"the score has shape {score.shape}, the cells {before[0].ids.shape} and "
            f"{after[0].ids.shape}"
        )
    rule = before[0].rule
    if rule.overlap == "inverse_variance":
        standard = StandardScore(score)
        votes = [cells._votes(standard, age_s) for cells, age_s in (before, after)]
        if frame_cells is not None:
            votes.append(frame_cells._votes(standard, 0.0))
        return fuse(score, standard, votes)
    earlier, later = before[0]._means(score), after[0]._means(score)
    span_s = before[1] + after[1]
    share = before[1] / span_s if span_s > 0 else 0.5
    means = np.asarray(cv2.addWeighted(earlier, 1 - share, later, share, 0), np.float32)
    for only, other in ((earlier, later), (later, earlier)):
        cv2.copyTo(only, np.isnan(other).view(np.uint8), means)
    return _blended(means, score, rule.kept(min(before[1], after[1])))


def _blended(means: ScoreMap, score: ScoreMap, residual: float) -> ScoreMap:
    """Blend the means with the score; pixels without a mask (NaN) keep their score."""
    result = blend(means, score, residual)
    cv2.copyTo(score, np.isnan(result).view(np.uint8), result)
    return result


def _checked_shape(shape: tuple[int, int]) -> tuple[int, int]:
    height, width = (int(side) for side in shape)
    if height < 1 or width < 1:
        raise ValueError(f"the map needs at least one pixel, got shape {shape}")
    return height, width
