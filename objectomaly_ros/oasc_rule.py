"""How OASC joins the means of the masks on a pixel: the paper's form, and others by name."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

Overlap: TypeAlias = Literal["largest", "smallest", "agreement"]
OVERLAPS: tuple[str, ...] = get_args(Overlap)

TOLERANCE = 0.05
"""Under `agreement` a mask weighs 1 / (TOLERANCE + its score's variance / the frame's). Measured:
0.02 to 0.3 give the same figures within half a point."""


def check_overlap(overlap: str) -> None:
    """Raise ValueError unless `overlap` names a rule."""
    if overlap not in OVERLAPS:
        raise ValueError(f"overlap must be 'largest', 'smallest' or 'agreement', got {overlap!r}")


@dataclass(frozen=True)
class OascRule:
    """What a covered pixel takes. The default is the paper's published code.

    Attributes:
        overlap: where several masks overlap, the pixel takes
            `largest`: the mean of the largest (the paper's code; made for SAM's nested masks);
            `smallest`: the mean of the smallest;
            `agreement`: the average of all their means, each weighted by how well the score agrees
            within the mask: 1 / (TOLERANCE + variance in the mask / variance in the frame). Made
            for tilings of several scales, where a large region is right only if it does not join
            an obstacle with the ground, which shows in the score's variance.
        residual: the share of its own score that the pixel keeps, 0 to 1: it takes
            (1 - residual) * mean + residual * score. 0 is the paper's. Under `agreement` this is
            the share where the score varies in its masks as much as in the frame; it keeps less
            where the score agrees and more where it does not, as on the edge of an obstacle that
            the masks miss: the score joins the average, at every mask, with the weight
            residual / (1 - residual) / (TOLERANCE + 1).
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
