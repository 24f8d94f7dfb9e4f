"""What a SAM mask generator returns: masks as bits on the device, and what SAM says of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from objectomaly_ros.masks.sam.candidates import Candidates
from objectomaly_ros.types import Masks

_PER_MASK = (
    "bits",
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
        bits: (N, H, ceil(W / 8)) uint8, eight pixels of a row in a byte, the first in its highest
            bit, as `np.packbits` packs them; the last byte of a row is filled up with 0.
        width: W, pixels.
        boxes: (N, 4) int64 x0, y0, x1, y1 of the image; the last pixel belongs to the mask. Zeros
            for an empty mask.
        areas: (N,) int64 pixels.
        predicted_iou: (N,) float32, the quality that the network predicts, about 0..1.
        stability_score: (N,) float32, the IoU of the mask cut at a higher and a lower logit.
        points: (N, 2) float64 x, y of the prompt, pixels of the image.
        crop_boxes: (N, 4) int64 x0, y0, x1, y1 of the crop that the mask was found in.
        timings: seconds, keys `encoder` (with resizing), `decoder`, `post_processing`.
    """

    bits: torch.Tensor
    width: int
    boxes: torch.Tensor
    areas: torch.Tensor
    predicted_iou: torch.Tensor
    stability_score: torch.Tensor
    points: torch.Tensor
    crop_boxes: torch.Tensor
    timings: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of_crop(
        cls,
        found: Candidates,
        bits: torch.Tensor,
        crop_box: tuple[int, int, int, int],
        width: int,
    ) -> SamResult:
        """Make a result of the masks found in one crop, `bits` and `width` being the image's."""
        box = torch.tensor([crop_box], device=bits.device)
        return cls(
            bits,
            width,
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
        return cls(width=parts[0].width, **tensors)

    def __len__(self) -> int:
        return len(self.bits)

    def select(self, which: torch.Tensor) -> SamResult:
        """Return the masks at the indices `which`, in that order."""
        tensors: dict[str, Any] = {name: getattr(self, name)[which] for name in _PER_MASK}
        return SamResult(width=self.width, timings=self.timings, **tensors)

    def masks(self) -> Masks:
        """Return the masks on the host, (N, H, W) bool.

        Only their boxes are written; the zeros around them cost next to nothing.
        """
        packed = self.bits.cpu().numpy()
        count, height, _ = packed.shape
        masks: Masks = np.zeros((count, height, self.width), dtype=np.bool_)
        boxes = self.boxes.tolist()
        for mask, rows, (left, top, right, bottom) in zip(masks, packed, boxes, strict=True):
            first = left // 8
            inside = np.unpackbits(rows[top : bottom + 1, first : right // 8 + 1], axis=1)
            mask[top : bottom + 1, left : right + 1] = inside[:, left % 8 : right + 1 - 8 * first]
        return masks

    def boxes_xywh(self) -> torch.Tensor:
        """Return (N, 4) int64 x, y, width, height as `oasc.calibrate` takes them.

        As in the official package, width and height are one less than the pixels spanned.
        """
        return torch.cat([self.boxes[:, :2], self.boxes[:, 2:] - self.boxes[:, :2]], dim=1)
