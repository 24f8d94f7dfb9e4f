"""OASC on the GPU, twin of `objectomaly_ros.oasc`: masks, score and result stay on their device."""

from __future__ import annotations

from typing import Literal

import torch

from objectomaly_ros.arrays.opencv_torch import resize_nearest

_CHUNK_PIXELS = 2**26  # of masks at a time: 256 MB of float32


def calibrate(
    score: torch.Tensor,
    masks: torch.Tensor,
    *,
    overlap: Literal["largest", "smallest"] = "largest",
    residual: float = 0.0,
    areas: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return `score` with every masked pixel set to the mean score of its mask.

    Masks rank by area, and a pixel takes the mean of the highest rank that covers it. Memory is
    bounded for any number of masks.

    Args:
        score: (H, W) float32.
        masks: (N, h, w) bool on the device of `score`.
        overlap: see `oasc.calibrate` for this and the other arguments.
        residual: see there.
        areas: see there.

    Returns:
        (H, W) float32, a new tensor; within 1e-6 of the twin's for scores about 1.

    Raises:
        TypeError: a tensor has another dtype.
    """
    if score.dtype != torch.float32 or masks.dtype != torch.bool:
        raise TypeError(f"want a float32 score and bool masks, got {score.dtype}, {masks.dtype}")
    if len(masks) == 0:
        return score.clone()
    if areas is None:
        areas = masks.sum((1, 2))
    order = torch.argsort(areas, stable=True)
    ranks = torch.empty_like(order)
    ranks[order if overlap == "largest" else order.flip(0)] = torch.arange(
        1, len(masks) + 1, device=score.device
    )
    finite = score.isfinite()
    known = torch.where(finite, score, 0)
    winner = torch.zeros(score.shape, dtype=torch.int32, device=score.device)
    means = torch.zeros(len(masks) + 1, device=score.device)  # by rank; 0 is no mask
    step = max(1, _CHUNK_PIXELS // score.numel())
    for first in range(0, len(masks), step):
        rank = ranks[first : first + step]
        mask = resize_nearest(masks[first : first + step], (score.shape[0], score.shape[1]))
        counts = (mask & finite).sum((1, 2))
        sums = torch.where(mask, known, 0).sum((1, 2), dtype=torch.float64)
        means[rank] = (sums / counts).float()
        present = torch.where(counts > 0, rank, 0).int()
        highest = torch.where(mask, present[:, None, None], 0).amax(0)
        winner = torch.maximum(winner, highest)
    mean = means[winner]
    blended = mean.lerp(torch.where(finite, score, mean), residual) if residual else mean
    return torch.where(winner > 0, blended, score)
