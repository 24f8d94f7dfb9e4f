"""MBP on the GPU, twin of `objectomaly_ros.mbp`: (H, W) float32 tensors in and out.

Results equal the twin's within 1e-6 for scores about 1. The host never waits for the device.
"""

from __future__ import annotations

import cv2
import torch

from objectomaly_ros.arrays.opencv_torch import reflect

_GAUSSIAN = tuple(float(weight) for weight in cv2.getGaussianKernel(7, 1, cv2.CV_32F)[:, 0])


def refine_boundary(score: torch.Tensor) -> torch.Tensor:
    """Apply MBP to a score, see `mbp.refine_boundary`."""
    blurred = laplacian_step(score)
    for axis in (1, 0):
        padded = reflect(blurred, 3, axis)
        length = blurred.shape[axis]
        blurred = padded.narrow(axis, 3, length) * _GAUSSIAN[3]
        for first in (0, 6, 1, 5, 2, 4):
            blurred.add_(padded.narrow(axis, first, length), alpha=_GAUSSIAN[first])
    return blurred


def laplacian_step(score: torch.Tensor) -> torch.Tensor:
    """Replace pixels on the low side of an edge, see `mbp.laplacian_step`."""
    if min(score.shape) < 3:
        return score.clone()  # all border
    around = reflect(reflect(score, 1, 0), 1, 1)
    middle, columns = slice(1, -1), around[1:-1]
    # Add in OpenCV's order: on a plateau every step is then exact, and the sum 0.
    laplacian = around[:-2, middle] + columns[:, :-2] - 4 * score
    laplacian = laplacian + columns[:, 2:] + around[2:, middle]
    flat = laplacian == 0
    total = _sum_of_neighbours(torch.where(flat, score, 0))
    count = _sum_of_neighbours(flat.view(torch.uint8))
    rising = laplacian[1:-1, 1:-1] > 0
    result = score.clone()
    inside = score[1:-1, 1:-1]
    result[1:-1, 1:-1] = torch.where(rising & (count > 0), total / count, inside)
    return result


def _sum_of_neighbours(values: torch.Tensor) -> torch.Tensor:
    """Return the sums over 3x3 pixels, (H - 2, W - 2)."""
    rows = values[:, :-2] + values[:, 1:-1] + values[:, 2:]
    return rows[:-2] + rows[1:-1] + rows[2:]
