"""Meticulous boundary processing (MBP): sharpens object borders of a calibrated score map.

Source: Song, Kim, Im, Noh, "Objectomaly", arXiv 2507.07460, the MBP step and its published code.
"""

from __future__ import annotations

import cv2
import numpy as np

from objectomaly_ros.arrays.checks import check_score
from objectomaly_ros.types import ScoreMap

_BOX = np.ones((3, 3), np.uint8)
_LINE = np.ones(3, np.float32)


def laplacian_step(score: ScoreMap) -> ScoreMap:
    """Replace pixels on the low side of an edge by the adjacent plateau.

    L is the Laplacian of `score`, aperture 1. Every pixel with L > 0, except in the image's outer
    rows and columns, becomes the mean of its 3x3 neighbours with L exactly 0, if there are any.
    Written pixels (L > 0) are never read (L = 0), so all are computed at once.

    Args:
        score: (H, W) floating point, any range, usually from `oasc.calibrate`.

    Returns:
        (H, W) float32, a new array. NaN and infinite pixels affect only their neighbours.

    Raises:
        TypeError: `score` is not floating point.
        ValueError: it is not two-dimensional, or has no pixel.
    """
    score = check_score(score)
    result = score.copy()
    if min(score.shape) < 3:
        return result  # all border
    laplacian = np.asarray(cv2.Laplacian(score, cv2.CV_32F))
    flat = (laplacian == 0).view(np.uint8)
    rising = (laplacian > 0).view(np.uint8)
    rising[[0, -1]] = 0
    rising[:, [0, -1]] = 0
    cv2.bitwise_and(rising, cv2.dilate(flat, _BOX), dst=rising)
    changed = np.flatnonzero(rising.view(np.bool_))
    if len(changed) == 0:
        return result
    # copyTo, not a product: NaN times 0 would not be 0.
    plateau = cv2.copyTo(score, flat, np.zeros_like(score))
    total = cv2.sepFilter2D(plateau, cv2.CV_32F, _LINE, _LINE, borderType=cv2.BORDER_CONSTANT)
    count = cv2.boxFilter(flat, cv2.CV_8U, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    result.ravel()[changed] = total.ravel()[changed] / count.ravel()[changed]
    return result


def refine_boundary(score: ScoreMap) -> ScoreMap:
    """Apply MBP: `laplacian_step`, then a 7x7 Gaussian with sigma 1 pixel.

    Argument, result and errors are those of `laplacian_step`; NaN spreads by 3 pixels more.
    """
    return np.asarray(cv2.GaussianBlur(laplacian_step(score), (7, 7), 1), dtype=np.float32)
