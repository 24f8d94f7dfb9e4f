"""Object-aware score calibration (OASC): each object takes the mean score of its mask.

Source: Song, Kim, Im, Noh, "Objectomaly", arXiv 2507.07460, the OASC step, and the order of the
published code: masks by ascending area, a later one overwrites an earlier one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.arrays.checks import check_score
from objectomaly_ros.arrays.mask_stack import MaskStack
from objectomaly_ros.types import Mask, Masks, ScoreMap

Overlap: TypeAlias = Literal["largest", "smallest", "inverse_variance"]
OVERLAPS: tuple[str, ...] = get_args(Overlap)

VARIANCE_FLOOR = 0.05
"""Under `inverse_variance` a mask weighs 1 / (VARIANCE_FLOOR + its score's variance / the
frame's). Measured: 0.02 to 0.3 give the same figures within half a point."""


def check_overlap(overlap: str) -> None:
    """Raise ValueError unless `overlap` names a rule."""
    if overlap not in OVERLAPS:
        raise ValueError(
            f"overlap must be 'largest', 'smallest' or 'inverse_variance', got {overlap!r}"
        )


@dataclass(frozen=True)
class OascRule:
    """What a covered pixel takes. The default is the paper's published code.

    Attributes:
        overlap: where several masks overlap, the pixel takes
            `largest`: the mean of the largest (the paper's code; made for SAM's nested masks);
            `smallest`: the mean of the smallest;
            `inverse_variance`: the average of all their means, each weighted by how well the score
            agrees within the mask:
            1 / (VARIANCE_FLOOR + variance in the mask / variance in the frame). Made
            for label_maps of several scales, where a large region is right only if it does not join
            an obstacle with the ground, which shows in the score's variance.
        residual: the share of its own score that the pixel keeps, 0 to 1: it takes
            (1 - residual) * mean + residual * score. 0 is the paper's. Under `inverse_variance`
            this is the share where the score varies in its masks as much as in the frame; it keeps
            less where the score agrees and more where it does not, as on the edge of an obstacle that
            the masks miss: the score joins the average, at every mask, with the weight
            residual / (1 - residual) / (VARIANCE_FLOOR + 1).
        fade_s: seconds after which masks that were made for an earlier frame count half: 1 -
            residual is divided by 1 + age / fade_s. Infinite, as in the paper's form, for never.
        memory_s: where masks follow the image from frame to frame, their means (and variances) are
            taken over the frames since their keyframe, one t seconds ago counting
            exp(-t / memory_s) of the current one. 0, as in the paper's form, for one frame's.
    """

    overlap: Overlap = "largest"
    residual: float = 0.0
    fade_s: float = math.inf
    memory_s: float = 0.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: `overlap` is unknown, `residual` outside 0 to 1, `fade_s` not above 0, or
                `memory_s` below 0.
        """
        check_overlap(self.overlap)
        if not 0 <= self.residual <= 1:
            raise ValueError(
                f"residual is the share of the score that is kept, 0 to 1; got {self.residual}"
            )
        if not self.fade_s > 0:
            raise ValueError(f"fade_s must be above 0 (.inf for never), got {self.fade_s}")
        if not self.memory_s >= 0:
            raise ValueError(f"memory_s must be at least 0 (0 for none), got {self.memory_s}")

    def kept(self, age_s: float = 0.0) -> float:
        """Return the residual with masks of this age in seconds."""
        return 1 - (1 - self.residual) / (1 + max(0.0, age_s) / self.fade_s)


PAPER = OascRule()
"""The form of the paper and its published code."""


def rule_for(
    mask_generator: object,
    overlap: Overlap | None = None,
    residual: float | None = None,
    fade_s: float | None = None,
    memory_s: float | None = None,
) -> OascRule:
    """Return the rule for the masks of a generator.

    Args:
        mask_generator: its attribute `recommended_rule`, where it has one, stands for what is not
            said; generators without one (SAM's) get the paper's form.
        overlap: None for the recommended one. With an overlap named, the others are the paper's
            unless they are named too, so `overlap="largest"` alone is always the paper's form.
        residual: None for the recommended one.
        fade_s: None for the recommended one.
        memory_s: None for the recommended one.

    Raises:
        ValueError: a value is not allowed.
    """
    rule = getattr(mask_generator, "recommended_rule", PAPER)
    if overlap is not None:
        rule = OascRule(overlap)
    if residual is not None:
        rule = replace(rule, residual=residual)
    if fade_s is not None:
        rule = replace(rule, fade_s=fade_s)
    return rule if memory_s is None else replace(rule, memory_s=memory_s)


def calibrate(
    score: ScoreMap,
    masks: Masks,
    *,
    overlap: Overlap = "largest",
    residual: float = 0.0,
    areas: npt.ArrayLike | None = None,
    boxes: npt.ArrayLike | None = None,
) -> ScoreMap:
    """Return `score` with every masked pixel set to the mean score of its mask.

    A pixel under several masks takes the mean of the largest (the paper's code), or what another
    `overlap` says. The mean is that of the original score over the whole mask, hidden parts
    included. Masks of equal area rank in the order given, the later as the larger. Uncovered pixels
    keep their score.

    NaN and infinite pixels are left out of the means, so that one bad pixel spoils nobody; where
    a mask covers them they take its mean like its other pixels. A mask without any finite pixel is
    skipped, and so is one that vanishes when it is brought to the map's resolution.

    Args:
        score: (H, W) floating point, any range.
        masks: (N, h, w) bool, any resolution; resized like `cv2.INTER_NEAREST`. N may be 0.
        overlap: what a covered pixel takes, see `OascRule`; the default is the paper's.
        residual: the share of its own score that it keeps; the paper's is 0.
        areas: (N,) what masks are ordered by, where that is not their pixel count at (h, w).
        boxes: (N, 4) x, y, width, height at (h, w), each holding its whole mask, as mask
            generators report them. Finding the masks is most of the work: with boxes it is many
            times faster.

    Returns:
        (H, W) float32, a new array.

    Raises:
        TypeError: if `score` is not floating point or `masks` not bool.
        ValueError: if a shape does not fit, or a value of the rule is not allowed.
    """
    score = check_score(score)
    rule = OascRule(overlap, residual)
    if overlap == "inverse_variance" or residual > 0:
        from objectomaly_ros.video.cells import Cells

        cells = Cells.from_masks(masks, score.shape, rule=rule, areas=areas, boxes=boxes)
        return cells.calibrate(score)
    stack = MaskStack(masks, (score.shape[0], score.shape[1]), areas, boxes)
    order = stack.ascending()
    result = score.copy()
    free = np.ones(score.shape, dtype=np.uint8)
    # Winners first: what they cover is final, and a mask wholly under them costs no mean.
    for index in order[::-1] if overlap == "largest" else order:
        located = stack.crop(index)
        if located is None:
            continue
        box, mask = located
        visible = cv2.bitwise_and(mask.view(np.uint8), free[box])
        if cv2.countNonZero(visible) == 0:
            continue
        mean = _finite_mean(score[box], mask)
        if mean is None:
            continue
        # OpenCV writes into the views: several times faster than masked assignment.
        cv2.copyTo(np.full(mask.shape, mean), visible, result[box])
        cv2.subtract(free[box], visible, free[box])
    return result


def _finite_mean(score: ScoreMap, mask: Mask) -> np.float32 | None:
    """Return the mean of the finite scores under `mask`, None if there are none."""
    raw = mask.view(np.uint8)
    # Not cv2.mean: with a mask it is ten times slower.
    total = cv2.sumElems(cv2.copyTo(score, raw, np.zeros_like(score)))[0]
    if np.isfinite(total):
        return np.float32(total / cv2.countNonZero(raw))
    finite = mask & np.isfinite(score)
    if not finite.any():
        return None
    return np.float32(score[finite].mean(dtype=np.float64))
