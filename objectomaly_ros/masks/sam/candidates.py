"""Masks that SAM proposed for one crop, not yet at full size, and the choice among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torchvision.ops.boxes import batched_nms


@dataclass(frozen=True)
class Candidates:
    """M masks of one crop; all tensors on one device.

    Attributes:
        logits: (M, h, w) float32, low resolution, trimmed by the crop's placement.
        predicted_iou: (M,) float32.
        stability_score: (M,) float32.
        boxes: (M, 4) int64 x0, y0, x1, y1 in the image, last pixel included.
        areas: (M,) int64 pixels of the image.
        points: (M, 2) float64 x, y in the image, pixels.
    """

    logits: torch.Tensor
    predicted_iou: torch.Tensor
    stability_score: torch.Tensor
    boxes: torch.Tensor
    areas: torch.Tensor
    points: torch.Tensor

    @classmethod
    def joined(cls, parts: Sequence[Candidates]) -> Candidates:
        """Join one or more in the order given."""
        return cls(
            *(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls))
        )

    def __len__(self) -> int:
        return len(self.logits)

    def select(self, which: torch.Tensor) -> Candidates:
        """Return those at the indices, or True in the mask, `which`."""
        return Candidates(*(getattr(self, field.name)[which] for field in fields(self)))


def suppress(boxes: torch.Tensor, ranks: torch.Tensor, max_iou: float) -> torch.Tensor:
    """Return which boxes non-maximum suppression keeps, in descending order of rank.

    The call is the official generator's, so that ties fall as they do there.

    Args:
        boxes: (M, 4) x0, y0, x1, y1.
        ranks: (M,) floating point.
        max_iou: boxes that overlap more with one of higher rank are left out.
    """
    one_class = torch.zeros(len(boxes), device=boxes.device)
    kept: torch.Tensor = batched_nms(boxes.float(), ranks, one_class, iou_threshold=max_iou)
    return kept
