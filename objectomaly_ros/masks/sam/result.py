"""SAM's masks of one image, on its device, and what SAM says of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from objectomaly_ros.masks.sam.candidates import Candidates
from objectomaly_ros.types import MaskSet

_PER_MASK = (
    "masks",
    "boxes",
    "areas",
    "predicted_iou",
    "stability_score",
    "points",
    "crop_boxes",
)


@dataclass(frozen=True, eq=False)
class SamResult:
    """N masks of one image, all tensors on the generator's device.

    Attributes:
        masks: (N, H, W) bool.
        boxes: (N, 4) int64 x0, y0, x1, y1 of the image; the last pixel belongs to the mask. Zeros
            for an empty mask.
        areas: (N,) int64 pixels.
        predicted_iou: (N,) float32, the quality that the network predicts, about 0..1.
        stability_score: (N,) float32, the IoU of the mask cut at a higher and a lower logit.
        points: (N, 2) float64 x, y of the prompt, pixels of the image.
        crop_boxes: (N, 4) int64 x0, y0, x1, y1 of the crop that the mask was found in.
        timings: seconds, keys `encoder` (with resizing), `decoder`, `post_processing`.
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
    def of_crop(
        cls, found: Candidates, masks: torch.Tensor, crop_box: tuple[int, int, int, int]
    ) -> SamResult:
        """Make a result of the masks found in one crop, `masks` being the image's."""
        box = torch.tensor([crop_box], device=masks.device)
        return cls(
            masks,
            found.boxes,
            found.areas,
            found.predicted_iou,
            found.stability_score,
            found.points,
            box.expand(len(found), 4),
        )

    @classmethod
    def joined(cls, parts: Sequence[SamResult]) -> SamResult:
        """Join the results of one image's crops, in the order given; a lone one is not copied."""
        if len(parts) == 1:
            return parts[0]
        tensors: dict[str, Any] = {
            name: torch.cat([getattr(part, name) for part in parts]) for name in _PER_MASK
        }
        return cls(**tensors)

    def __len__(self) -> int:
        return len(self.masks)

    def select(self, which: torch.Tensor) -> SamResult:
        """Return the masks at the indices `which`, in that order."""
        tensors: dict[str, Any] = {name: getattr(self, name)[which] for name in _PER_MASK}
        return SamResult(timings=self.timings, **tensors)

    def mask_set(self) -> MaskSet:
        """Return the masks with their areas and boxes, as OASC takes them."""
        size = self.boxes[:, 2:] - self.boxes[:, :2] + 1
        boxes = torch.cat([self.boxes[:, :2], size], dim=1)
        return MaskSet(self.masks, self.areas.cpu().numpy(), boxes.cpu().numpy())
