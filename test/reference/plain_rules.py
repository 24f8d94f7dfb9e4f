"""All rules of OASC, mask after mask: slow and literal, the reference for equality."""

import numpy as np

from tools.benchmarks.published_loops import calibrate as paint


def resized(mask, shape):
    """Resize a mask like the published code."""
    import cv2

    size = (shape[1], shape[0])
    return cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)


def calibrate(score, masks, overlap, residual):
    """Calibrate by any rule, as `OascRule` describes it."""
    if overlap == "inverse_variance":
        return by_agreement(score, masks, residual)
    painted = paint(score, masks, overlap=overlap)
    covered = np.zeros(score.shape, bool)
    for mask in masks:
        covered |= resized(mask, score.shape)
    return np.where(covered, (1 - residual) * painted + residual * score, score)


def by_agreement(score, masks, residual):
    """Return the weighted average of the means; the own score joins once for each mask."""
    exact = score.astype(np.float64)
    total, weights, count = (np.zeros(score.shape) for _ in range(3))
    for mask in masks:
        region = resized(mask, score.shape)
        if not region.any():
            continue
        spread = exact[region].var() / exact.var() if exact.var() > 0 else 0
        weight = 1 / (0.05 + spread)
        total[region] += weight * exact[region].mean()
        weights[region] += weight
        count[region] += 1
    own = count * residual / 1.05
    others = (1 - residual) * weights
    with np.errstate(invalid="ignore", divide="ignore"):
        joined = ((1 - residual) * total + own * exact) / (own + others)
    return np.where(count > 0, joined, exact)
