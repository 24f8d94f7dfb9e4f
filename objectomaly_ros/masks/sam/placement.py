"""How the decoder's low-resolution masks lie in the image, and what is measured of them there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn import functional as F


class Cuts(NamedTuple):
    """Logits above `threshold` are mask; the stability score moves it by `offset` up and down."""

    threshold: float
    offset: float


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
class Placement:
    """From the decoder's square of logits to a crop of the image, and where that lies.

    As `Sam.postprocess_masks` does it: bilinear to the network's square, of which the part without
    padding is kept, then bilinear to the crop.

    Attributes:
        network_side: of the network's square input, pixels.
        input_size: height and width of the crop as resized into that square.
        crop_box: x0, y0, x1, y1 in the image, x1 and y1 exclusive.
        image_size: height and width.
    """

    network_side: int
    input_size: tuple[int, int]
    crop_box: tuple[int, int, int, int]
    image_size: tuple[int, int]

    @property
    def crop_size(self) -> tuple[int, int]:
        """Height and width of the crop."""
        x0, y0, x1, y1 = self.crop_box
        return y1 - y0, x1 - x0

    def trim(self, logits: torch.Tensor) -> torch.Tensor:
        """Leave out the rows and columns of (N, side, side) logits that only padding sees."""
        low_side = logits.shape[2]
        step = self.network_side // low_side
        height, width = (min(low_side, math.ceil(x / step) + 1) for x in self.input_size)
        return logits[:, :height, :width]

    def upsample(self, logits: torch.Tensor, step: int) -> torch.Tensor:
        """Return (N, H, W) logits of the crop for trimmed (N, h, w).

        The library calls are the package's own, on the part that matters, so the numbers are too.

        Args:
            logits: from `trim`.
            step: pixels of the network's square for one of the logits.
        """
        square = F.interpolate(
            logits[None], scale_factor=step, mode="bilinear", align_corners=False
        )
        filled = square[..., : self.input_size[0], : self.input_size[1]]
        full = F.interpolate(filled, self.crop_size, mode="bilinear", align_corners=False)
        return full[0]
