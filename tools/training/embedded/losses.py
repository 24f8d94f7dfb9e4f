"""Losses: classes by cross-entropy; outliers by weighted, hard-mined binary loss and Dice."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from objectomaly_ros.detectors.embedded_net import CLASSES

IGNORE = 255
# Rare and thin classes count more; road, building, sky and tree fill most of the images.
CLASS_WEIGHTS = {"sky": 0.6, "building": 0.7, "road": 0.6, "tree": 0.8, "pole": 2.0, "sign": 2.0,
                 "pedestrian": 2.0, "bicyclist": 2.0, "fence": 1.5}  # fmt: skip


def class_weights() -> Tensor:
    """Return the weights of the classes in the cross-entropy, (11,) float32."""
    return torch.tensor([CLASS_WEIGHTS.get(name, 1.0) for name in CLASSES])


def class_loss(logits: Tensor, label: Tensor, weights: Tensor) -> Tensor:
    """Return the cross-entropy of (B, 11, h, w) logits at half resolution, (B, H, W) class ids."""
    target = label[:, ::2, ::2].long()
    return F.cross_entropy(logits, target, weight=weights, ignore_index=IGNORE)


def outlier_loss(logit: Tensor, outlier: Tensor, weight: Tensor) -> Tensor:
    """Return the loss of (B, H, W) outlier logits.

    The sum of: binary cross-entropy with positives counted 4 times and by size; the mean of the
    hardest 2 % of the normal and the hardest 10 % of the outlier pixels (the tails decide FPR95 and
    AuPRC); Dice over the batch.
    """
    # Picking pixels by index instead of masking takes a sixth of a step.
    valid, odd = outlier != IGNORE, outlier == 1
    y = odd.to(logit.dtype)
    w = weight * valid
    each = F.binary_cross_entropy_with_logits(logit, y, reduction="none") * w
    base = (each * (1 + 3 * y)).sum() / valid.sum().clamp(min=1)
    hard = _hardest(each * (outlier == 0), int((outlier == 0).sum()) // 50)
    if odd.any():
        hard = hard + 0.3 * _hardest(each * y, int(odd.sum()) // 10)
    p = torch.sigmoid(logit) * w
    dice = 1 - (2 * (p * y).sum() + 1) / (p.sum() + (w * y).sum() + 1)
    return base * 4 + 0.3 * hard + 0.5 * dice


def _hardest(losses: Tensor, count: int) -> Tensor:
    """Return the mean of the `count` largest, at least of one."""
    return losses.flatten().topk(max(1, count)).values.mean()
