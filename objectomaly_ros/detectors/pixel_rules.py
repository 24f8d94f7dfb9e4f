"""Anomaly scores of per-pixel networks: logits of K classes in, one map out."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional as F

from objectomaly_ros.arrays.opencv_torch import reflect


def msp(logits: torch.Tensor) -> torch.Tensor:
    """One minus the maximum softmax probability, (K, H, W) -> (H, W) in [0, 1) (arXiv
    1610.02136).
    """
    return 1.0 - logits.softmax(0).amax(0)


def max_logit(logits: torch.Tensor) -> torch.Tensor:
    """Minus the maximum logit, (K, H, W) -> (H, W) (arXiv 1911.11132)."""
    return -logits.amax(0)


def entropy(logits: torch.Tensor) -> torch.Tensor:
    """Entropy of the softmax over log K, (K, H, W) -> (H, W) in [0, 1]."""
    log_probability = logits.log_softmax(0)
    return -(log_probability.exp() * log_probability).sum(0) / math.log(len(logits))


def energy(logits: torch.Tensor) -> torch.Tensor:
    """Minus the log-sum-exp, temperature 1, (K, H, W) -> (H, W) (arXiv 2010.03759)."""
    return -logits.logsumexp(0)


RULES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "msp": msp,
    "max_logit": max_logit,
    "entropy": entropy,
    "energy": energy,
}


def find_rule(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a rule by name; raise a ValueError with all names if there is none."""
    if name not in RULES:
        raise ValueError(f"no rule {name!r}; there are {', '.join(RULES)}")
    return RULES[name]


def smooth(score: torch.Tensor) -> torch.Tensor:
    """Blur a map, (H, W), with a 7x7 Gaussian of sigma 1 and mirrored borders, as RPL does."""
    offsets = torch.arange(-3, 4, dtype=score.dtype, device=score.device)
    kernel = torch.exp(-0.5 * offsets**2)
    kernel = kernel / kernel.sum()
    padded = reflect(reflect(score, 3, 0), 3, 1)[None, None]
    blurred = F.conv2d(padded, kernel.view(1, 1, 7, 1))
    return F.conv2d(blurred, kernel.view(1, 1, 1, 7))[0, 0]


def resized(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize maps, (K, h, w), to (height, width), bilinear."""
    if tuple(logits.shape[1:]) == size:
        return logits
    return F.interpolate(logits[None], size, mode="bilinear", align_corners=False)[0]
