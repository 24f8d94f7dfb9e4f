"""From the decoder's low-resolution logits to masks of the image, a few masks at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional as F

_TILE_BYTES = 64 * 2**20  # full-size logits that exist at a time


@dataclass(frozen=True)
class Measures:
    """What is measured of N masks at full size.

    Attributes:
        stability: (N,) float32, NaN where even the lower cut leaves nothing.
        boxes: (N, 4) int64 x0, y0, x1, y1 of the crop, last pixel included; zeros if empty.
        areas: (N,) int64.
    """

    stability: torch.Tensor
    boxes: torch.Tensor
    areas: torch.Tensor


@dataclass(frozen=True)
class Upsampling:
    """The way from low-resolution logits to those of a crop, as `Sam.postprocess_masks` goes it.

    Attributes:
        network_side: of the network's square input, pixels.
        input_size: height and width of the crop as resized into that square.
        crop_size: height and width of the crop.
    """

    network_side: int
    input_size: tuple[int, int]
    crop_size: tuple[int, int]

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Return (N, H, W) logits of the crop for (N, h, w) of the square."""
        side = self.network_side
        square = F.interpolate(logits[None], (side, side), mode="bilinear", align_corners=False)
        filled = square[..., : self.input_size[0], : self.input_size[1]]
        full = F.interpolate(filled, self.crop_size, mode="bilinear", align_corners=False)
        return full[0]

    def tiles(self, logits: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield the full-size logits of all masks, a bounded number of bytes at a time."""
        pixels = max(self.network_side**2, self.crop_size[0] * self.crop_size[1])
        for part in torch.split(logits, max(1, _TILE_BYTES // (4 * pixels))):
            yield self(part)


def measure(
    logits: torch.Tensor, upsampling: Upsampling, threshold: float, offset: float
) -> Measures:
    """Measure masks that are not kept: stability, box and area in one pass.

    Args:
        logits: (N, h, w) at low resolution.
        upsampling: to full size.
        threshold: logits above it are mask.
        offset: what the stability score moves the threshold by, up and down.
    """
    parts = [_measure(full, threshold, offset) for full in upsampling.tiles(logits)]
    if not parts:
        none = torch.zeros(0, dtype=torch.int64, device=logits.device)
        return Measures(none.float(), none.reshape(0, 4), none)
    return Measures(
        torch.cat([part.stability for part in parts]),
        torch.cat([part.boxes for part in parts]),
        torch.cat([part.areas for part in parts]),
    )


def _measure(full: torch.Tensor, threshold: float, offset: float) -> Measures:
    high = (full > threshold + offset).sum((1, 2), dtype=torch.int32)
    low = (full > threshold - offset).sum((1, 2), dtype=torch.int32)
    mask = full > threshold
    y0, y1 = _span(mask.any(2))
    x0, x1 = _span(mask.any(1))
    boxes = torch.stack([x0, y0, x1, y1], dim=1)
    return Measures(high / low, boxes, mask.sum((1, 2)))


def _span(occupied: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first and last True of each row of (N, L), 0 and 0 where there is none."""
    numbers = torch.arange(occupied.shape[1], device=occupied.device)
    last = torch.where(occupied, numbers, 0).amax(1)
    first = torch.where(occupied, numbers, occupied.shape[1]).amin(1)
    return torch.where(first > last, 0, first), last
