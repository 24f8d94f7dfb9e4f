"""Masks of an earlier frame joined with quick ones of the frame itself.

Masks that follow the image drift off their objects' edges: on street_ood/clip_dev their overlap
with the objects falls to 0.75, 0.55 and 0.35 after 5, 15 and 30 frames, whatever the flow. Quick
masks of the frame itself keep to its edges, and the older the others are the more they decide.
"""

from __future__ import annotations

import numpy as np

from objectomaly_ros.cells import Cells
from objectomaly_ros.mask_memory import MaskMemory
from objectomaly_ros.types import ScoreMap


def calibrate_aged(
    score: ScoreMap,
    cells: Cells,
    age_s: float,
    memory: MaskMemory | None = None,
    fresh: Cells | None = None,
) -> ScoreMap:
    """Return OASC of `score` with masks of an earlier frame, and fresh ones if there are any.

    Args:
        score: (H, W) floating point.
        cells: of the earlier frame's masks, at their places in this one.
        age_s: seconds from that frame to this one.
        memory: of `cells` on the frames before; takes this frame in.
        fresh: of masks of this frame. They join under the rule `agreement` as further masks, which
            have no age; under the other rules they are not used.

    Returns:
        (H, W) float32, a new array.
    """
    if fresh is None or cells.rule.overlap != "agreement":
        return cells.calibrate(score, age_s, memory)
    old, old_weight = cells.weighed(score, age_s, memory)
    new, new_weight = fresh.weighed(score)
    total = old_weight + new_weight
    share = np.divide(new_weight, total, out=np.zeros_like(total), where=total > 0)
    with np.errstate(invalid="ignore"):
        result = np.asarray(old + (new - old) * share, np.float32)
    # Where one of them has no mask, it has the pixel's own score there, which may be NaN.
    np.copyto(result, old, where=new_weight == 0)
    np.copyto(result, new, where=old_weight == 0)
    return result
