"""Object-aware score calibration (OASC): each object takes the mean score of its mask.

Source: Song, Kim, Im, Noh, "Objectomaly", arXiv 2507.07460, the OASC step, as in the published
code: in ascending order of area, each mask overwrites earlier ones.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias, get_args, runtime_checkable

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.arrays.checks import check_score
from objectomaly_ros.arrays.mask_stack import Crop, MaskStack
from objectomaly_ros.types import Masks, ScoreMap

Overlap: TypeAlias = Literal["largest", "smallest", "inverse_variance"]
OVERLAPS: tuple[str, ...] = get_args(Overlap)

VARIANCE_FLOOR = 0.05
"""Keeps the weight of a mask finite under `inverse_variance`. Measured: with 0.02 to 0.3, results
agree within half a point."""


@dataclass(frozen=True)
class OascRule:
    """The value of a covered pixel. The default is that of the paper's published code.

    Attributes:
        overlap: the masks that decide if several cover a pixel.
            `largest`: the mean of the largest (the paper's code; made for SAM's nested masks).
            `smallest`: the mean of the smallest.
            `inverse_variance`: the average of all their means, each weighted by
            1 / (VARIANCE_FLOOR + variance of the score in the mask / variance in the frame). Made
            for label maps of several scales: in a large region that joins an obstacle with the
            ground the score varies, so the region counts little.
        residual: the share of its own score that a pixel keeps, 0 to 1; the paper's is 0. Under
            `largest` and `smallest` a pixel takes (1 - residual) * mean + residual * score. Under
            `inverse_variance` the score joins the average, once for each mask, with the weight
            residual / (1 - residual) / (VARIANCE_FLOOR + 1). The share is then `residual` if the
            score varies in the mask as in the frame, lower if it varies less, and higher if it
            varies more, as on the edge of an obstacle that the masks miss.
        fade_s: on video, the age in seconds at which the weight of masks is halved: 1 - residual is
            divided by 1 + age / fade_s. The paper's is infinite: never.
    """

    overlap: Overlap = "largest"
    residual: float = 0.0
    fade_s: float = math.inf

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: `overlap` is unknown, `residual` outside 0 to 1, or `fade_s` not above 0.
        """
        if self.overlap == "agreement":  # type: ignore[comparison-overlap]
            logging.getLogger(__name__).warning(
                "overlap 'agreement' is now called 'inverse_variance'"
            )
            object.__setattr__(self, "overlap", "inverse_variance")
        if self.overlap not in OVERLAPS:
            raise ValueError(f"overlap must be one of {', '.join(OVERLAPS)}; got {self.overlap!r}")
        if not 0 <= self.residual <= 1:
            raise ValueError(
                f"residual is the share of its own score that a pixel keeps, 0 to 1; "
                f"got {self.residual}"
            )
        if not self.fade_s > 0:
            raise ValueError(f"fade_s must be above 0 (.inf for never), got {self.fade_s}")

    def kept(self, age_s: float = 0.0) -> float:
        """Return the residual for masks of an age in seconds."""
        return 1 - (1 - self.residual) / (1 + max(0.0, age_s) / self.fade_s)


PAPER = OascRule()
"""The rule of the paper's published code."""


@runtime_checkable
class RecommendsRule(Protocol):
    """A mask generator with a rule of its own for its masks, the default for the user."""

    recommended_rule: OascRule


def rule_for(
    mask_generator: object,
    overlap: Overlap | None = None,
    residual: float | None = None,
    fade_s: float | None = None,
) -> OascRule:
    """Return the rule for the masks of a generator.

    Args:
        mask_generator: its recommended rule, or else the paper's, replaces arguments that are None.
        overlap: see `OascRule`. If given, `residual` and `fade_s` default to the paper's, so that
            `overlap="largest"` alone is always the paper's rule.
        residual: see `OascRule`.
        fade_s: see `OascRule`.

    Raises:
        ValueError: a value is not allowed.
    """
    rule = PAPER
    if overlap is not None:
        rule = OascRule(overlap)
    elif isinstance(mask_generator, RecommendsRule):
        rule = mask_generator.recommended_rule
    if residual is not None:
        rule = replace(rule, residual=residual)
    return rule if fade_s is None else replace(rule, fade_s=fade_s)


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

    A pixel under several masks takes the mean of the largest (the paper's code) or follows another
    `overlap`. The mean is that of the original score over the whole mask, with its hidden parts. Of
    masks of equal area, later ones count as larger. Uncovered pixels keep their score.

    Means leave out pixels that are not finite. These take the mean of their mask like its other
    pixels. A mask is skipped if it has no finite pixel, or no pixel at the map's resolution.

    Args:
        score: (H, W) floating point, any range.
        masks: (N, h, w) bool, any resolution; resized as by `cv2.INTER_NEAREST`. N may be 0.
        overlap: see `OascRule`.
        residual: see `OascRule`.
        areas: (N,) by which masks rank; their pixel counts at (h, w) if None.
        boxes: (N, 4) x, y, width, height at (h, w), each holding its whole mask. Without them, most
            of the time goes into finding the masks.

    Returns:
        (H, W) float32, a new array.

    Raises:
        TypeError: `score` is not floating point, or `masks` are not bool.
        ValueError: a shape does not fit, or a value of the rule is not allowed.
    """
    score = check_score(score)
    rule = OascRule(overlap, residual)
    stack = MaskStack(masks, (score.shape[0], score.shape[1]), areas, boxes)
    if rule.overlap == "inverse_variance":
        return _average(score, stack, rule.residual)
    scores = _MaskedSums(score)
    order = stack.ascending() if rule.overlap == "largest" else stack.ascending()[::-1]
    small = np.min_scalar_type(len(stack)) if len(stack) < 2**16 else np.dtype(np.int32)
    winner = np.zeros(score.shape, small)  # rank of the mask; 0 is none
    means = np.zeros(max(256, len(stack) + 1), np.float32)  # by rank
    ranks = np.arange(1, len(stack) + 1, dtype=winner.dtype)
    for index, rank in zip(order, ranks, strict=True):
        located = stack.crop(index)
        if located is None:
            continue
        box, mask = located
        total, pixels = scores.under(box, mask)
        if pixels == 0:
            continue
        means[rank] = total / pixels
        covered = winner[box]
        ranked = np.multiply(mask, rank, dtype=small)  # NumPy 1 would keep the mask's 8 bits
        cv2.max(covered, ranked, covered)  # the highest rank wins
    # LUT is five times faster than indexing, and takes 256 ranks.
    painted = np.asarray(cv2.LUT(winner, means) if len(stack) < 256 else means[winner], np.float32)
    result = blend(painted, score, rule.residual)
    cv2.copyTo(score, (winner == 0).view(np.uint8), result)
    return result


def blend(means: ScoreMap, score: ScoreMap, residual: float) -> ScoreMap:
    """Return (1 - residual) * means + residual * score; `means` alone if the score is not finite.

    Blend nowhere else: MBP looks for plateaus with a Laplacian of exactly 0, which another order of
    rounding would break.
    """
    if residual == 0:
        return means
    blended = np.asarray(cv2.addWeighted(means, 1 - residual, score, residual, 0), np.float32)
    unusable = (~np.isfinite(score)).view(np.uint8)
    return np.asarray(cv2.copyTo(means, unusable, blended), np.float32)


def _average(score: ScoreMap, stack: MaskStack, residual: float) -> ScoreMap:
    """Apply `inverse_variance`: average the means of all masks of a pixel, and its own score."""
    finite = np.isfinite(score)
    variance = np.var(score, dtype=np.float64, where=finite) if finite.any() else 0.0
    total, weights, count = np.zeros((3, *score.shape))
    for index in range(len(stack)):
        located = stack.crop(index)
        if located is None:
            continue
        box, mask = located
        values = score[box][mask.view(np.bool_) & finite[box]].astype(np.float64)
        if len(values) == 0:
            continue
        weight = 1 / (VARIANCE_FLOOR + (values.var() / variance if variance > 0 else 0))
        total[box] += mask * (weight * values.mean())
        weights[box] += mask * weight
        count[box] += mask
    own = np.where(finite, residual / (VARIANCE_FLOOR + 1) * count, 0)
    total = (1 - residual) * total + own * np.where(finite, score, 0)
    weights = (1 - residual) * weights + own
    result = score.copy()
    covered = weights > 0
    result[covered] = total[covered] / weights[covered]
    return result


class _MaskedSums:
    """Sums of a score's finite pixels under masks.

    The L1 norm adds up non-negative numbers under a mask ten times as fast as `cv2.mean` averages
    them, so the score is split by sign.
    """

    def __init__(self, score: ScoreMap) -> None:
        finite = np.isfinite(score)
        self._finite = None if finite.all() else finite.view(np.uint8)
        known = score if self._finite is None else cv2.copyTo(score, self._finite)
        self._below = np.minimum(known, 0) if known.min() < 0 else None
        self._above = known if self._below is None else np.maximum(known, 0)

    def under(self, box: Crop, mask: npt.NDArray[np.uint8]) -> tuple[float, int]:
        """Return the sum over a mask, and the number of its pixels."""
        if self._finite is not None:
            mask = mask & self._finite[box]
        total = cv2.norm(self._above[box], cv2.NORM_L1, mask)
        if self._below is not None:
            total -= cv2.norm(self._below[box], cv2.NORM_L1, mask)
        return total, cv2.countNonZero(mask)
