"""What a SAM mask generator returns: masks as bits on the device, and what SAM says of each."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from objectomaly_ros.types import Masks

_BIT_VALUES = (128, 64, 32, 16, 8, 4, 2, 1)


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

    def __len__(self) -> int:
        return len(self.bits)

    def select(self, which: torch.Tensor) -> SamResult:
        """Return the masks at the indices `which`, in that order."""
        return SamResult(
            self.bits[which],
            self.width,
            self.boxes[which],
            self.areas[which],
            self.predicted_iou[which],
            self.stability_score[which],
            self.points[which],
            self.crop_boxes[which],
            self.timings,
        )

    def masks(self) -> Masks:
        """Return the masks on the host, (N, H, W) bool."""
        packed: npt.NDArray[np.uint8] = self.bits.cpu().numpy()
        unpacked: Masks = np.unpackbits(packed, axis=2, count=self.width).view(np.bool_)
        return unpacked

    def boxes_xywh(self) -> torch.Tensor:
        """Return (N, 4) int64 x, y, width, height as `oasc.calibrate` takes them.

        As in the official package, width and height are one less than the pixels spanned.
        """
        return torch.cat([self.boxes[:, :2], self.boxes[:, 2:] - self.boxes[:, :2]], dim=1)


def pack_bits(masks: torch.Tensor) -> torch.Tensor:
    """Pack (N, H, W) bool into (N, H, ceil(W / 8)) uint8, as `SamResult.bits` holds them."""
    padded = F.pad(masks.to(torch.uint8), (0, -masks.shape[2] % 8))
    values = torch.tensor(_BIT_VALUES, dtype=torch.uint8, device=masks.device)
    grouped = padded.reshape(*padded.shape[:2], padded.shape[2] // 8, 8)
    return (grouped * values).sum(3, dtype=torch.uint8)
