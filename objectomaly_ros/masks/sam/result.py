"""SAM's masks of one image with their scores, and the choice among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from segment_anything.utils import amg
from torchvision.ops.boxes import batched_nms

from objectomaly_ros.types import MaskSet


@dataclass(frozen=True, eq=False)
class SamResult:
    """N masks, all tensors on the generator's device.

    Attributes:
        masks: (N, H, W) bool in the image. Before a crop is done, (N, h, w) float32 logits at low
            resolution, trimmed by the crop's placement.
        boxes: (N, 4) int64 x0, y0, x1, y1 in the image, last pixel included; zeros if empty.
        areas: (N,) int64 pixels.
        predicted_iou: (N,) float32, the quality that the network predicts, about 0..1.
        stability_score: (N,) float32, the IoU of the mask cut at a higher and a lower logit.
        points: (N, 2) float64 x, y of the prompt, pixels of the image.
        crop_boxes: (N, 4) int64 x0, y0, x1, y1 of the mask's crop, x1 and y1 exclusive.
        timings: seconds of `encoder` (with resizing), `decoder` and `post_processing`.
    """

    masks: torch.Tensor
    boxes: torch.Tensor
    areas: torch.Tensor
    predicted_iou: torch.Tensor
    stability_score: torch.Tensor
    points: torch.Tensor
    crop_boxes: torch.Tensor
    timings: dict[str, float] = field(default_factory=dict)

    @classmethod
    def joined(cls, parts: Sequence[SamResult]) -> SamResult:
        """Join one or more parts of an image's result in the order given; one is not copied."""
        if len(parts) == 1:
            return parts[0]
        tensors: dict[str, Any] = {
            name: torch.cat([getattr(part, name) for part in parts]) for name in _PER_MASK
        }
        return cls(**tensors)

    def __len__(self) -> int:
        return len(self.masks)

    def select(self, which: torch.Tensor) -> SamResult:
        """Return the masks that `which` selects: (M,) indices in order, or (N,) bool."""
        tensors: dict[str, Any] = {name: getattr(self, name)[which] for name in _PER_MASK}
        return replace(self, **tensors)

    def without_small_regions(self, min_area: int, max_iou: float) -> SamResult:
        """Fill holes and drop islands, then suppress the duplicates that arise.

        As the official generator does it on request: on the host, one mask at a time. Masks that
        needed no change rank above the changed ones.

        Args:
            min_area: pixels; smaller holes and islands go, except the largest island.
            max_iou: see `suppress`.
        """
        masks = self.masks.cpu().numpy().copy()
        unchanged = np.ones(len(masks), dtype=np.float32)
        for index, mask in enumerate(masks):
            mask, filled = amg.remove_small_regions(mask, min_area, mode="holes")
            masks[index], cleared = amg.remove_small_regions(mask, min_area, mode="islands")
            unchanged[index] = not (filled or cleared)
        cleaned = torch.from_numpy(masks).to(self.masks.device)
        boxes, areas = amg.batched_mask_to_box(cleaned).long(), cleaned.sum((1, 2))
        kept = suppress(boxes, torch.from_numpy(unchanged).to(boxes.device), max_iou)
        return replace(self, masks=cleaned, boxes=boxes, areas=areas).select(kept)

    def mask_set(self) -> MaskSet:
        """Return the masks with their areas and boxes, as OASC takes them."""
        size = self.boxes[:, 2:] - self.boxes[:, :2] + 1
        boxes = torch.cat([self.boxes[:, :2], size], dim=1)
        return MaskSet(self.masks, self.areas.cpu().numpy(), boxes.cpu().numpy())


_PER_MASK = tuple(part.name for part in fields(SamResult) if part.name != "timings")


def suppress(boxes: torch.Tensor, ranks: torch.Tensor, max_iou: float) -> torch.Tensor:
    """Return which boxes non-maximum suppression keeps, in descending order of rank.

    The call is the official generator's, so that ties fall as they do there.

    Args:
        boxes: (N, 4) x0, y0, x1, y1.
        ranks: (N,) floating point.
        max_iou: a box goes if it overlaps more with one of higher rank.
    """
    one_class = torch.zeros(len(boxes), device=boxes.device)
    kept: torch.Tensor = batched_nms(boxes.float(), ranks, one_class, iou_threshold=max_iou)
    return kept
