"""The place of the decoder's low-resolution masks in the image, and their measures there."""

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


class Measures(NamedTuple):
    """Measures of N masks at full size.

    Attributes:
        stability: (N,) float32, NaN if even the lower cut leaves nothing.
        boxes: (N, 4) int64 x0, y0, x1, y1 of the crop, last pixel included; zeros if empty.
        areas: (N,) int64.
    """

    stability: torch.Tensor
    boxes: torch.Tensor
    areas: torch.Tensor


@dataclass(frozen=True)
class Placement:
    """Places the decoder's square of logits in a crop, and the crop in the image.

    As in `Sam.postprocess_masks`: bilinear to the network's square, then bilinear to the crop from
    the part of the square without padding.

    Attributes:
        network_side: of the network's square input, pixels.
        low_side: of the decoder's square of logits.
        input_size: height and width of the crop as resized into the network's square.
        crop_box: x0, y0, x1, y1 in the image, x1 and y1 exclusive.
        image_size: height and width.
    """

    network_side: int
    low_side: int
    input_size: tuple[int, int]
    crop_box: tuple[int, int, int, int]
    image_size: tuple[int, int]

    @property
    def step(self) -> int:
        """Pixels of the network's square for one logit."""
        return self.network_side // self.low_side

    @property
    def crop_size(self) -> tuple[int, int]:
        """Height and width of the crop."""
        x0, y0, x1, y1 = self.crop_box
        return y1 - y0, x1 - x0

    @property
    def low_size(self) -> tuple[int, int]:
        """Height and width of the logits that the crop depends on; the rest is padding."""
        height, width = (min(self.low_side, math.ceil(x / self.step) + 1) for x in self.input_size)
        return height, width

    def trim(self, logits: torch.Tensor) -> torch.Tensor:
        """Return (N, *low_size) of (N, low_side, low_side) logits."""
        height, width = self.low_size
        return logits[:, :height, :width]

    def upsample(self, logits: torch.Tensor) -> torch.Tensor:
        """Return (N, H, W) logits of the crop for trimmed (N, h, w).

        The numbers are the package's: the library calls are the same.
        """
        square = F.interpolate(
            logits[:, None], scale_factor=self.step, mode="bilinear", align_corners=False
        )
        filled = square[..., : self.input_size[0], : self.input_size[1]]
        return F.interpolate(filled, self.crop_size, mode="bilinear", align_corners=False)[:, 0]
