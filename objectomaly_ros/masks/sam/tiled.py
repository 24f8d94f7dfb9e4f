"""Masks at full size on a GPU: whole masks, so many at a time that memory is bounded."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from segment_anything.utils import amg
from torch.nn import functional as F

from objectomaly_ros.masks.sam.placement import Cuts, Measures, Placement

_TILE_BYTES = 64 * 2**20  # float32 logits of one size that exist at a time


class TiledMasks:
    """Measures and makes masks with a fixed number of device operations a tile, and no waiting.

    Methods as those of `boxed.BoxedMasks`.
    """

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        height, width = placement.crop_size
        self._tile = max(1, _TILE_BYTES // (4 * max(placement.network_side**2, height * width)))

    def measure(self, logits: torch.Tensor, cuts: Cuts) -> Measures:
        """Measure N masks and forget them."""
        tiles = zip(*(_measure(full, cuts) for full in self._tiles(logits)), strict=True)
        return Measures(*(torch.cat(parts) for parts in tiles))

    def masks(self, logits: torch.Tensor, threshold: float) -> torch.Tensor:
        """Return the N masks in the image, (N, H, W) bool."""
        x0, y0, x1, y1 = self._placement.crop_box
        height, width = self._placement.image_size
        around = (x0, width - x1, y0, height - y1)
        return torch.cat([F.pad(full > threshold, around) for full in self._tiles(logits)])

    def _tiles(self, logits: torch.Tensor) -> Iterator[torch.Tensor]:
        for first in range(0, max(1, len(logits)), self._tile):
            yield self._placement.upsample(logits[first : first + self._tile])


def _measure(full: torch.Tensor, cuts: Cuts) -> Measures:
    mask = full > cuts.threshold
    y0, y1 = _span(mask.any(2))
    x0, x1 = _span(mask.any(1))
    boxes = torch.stack([x0, y0, x1, y1], dim=1)
    return Measures(amg.calculate_stability_score(full, *cuts), boxes, mask.sum((1, 2)))


def _span(occupied: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first and last True of each row of (N, L), 0 and 0 if there is none."""
    numbers = torch.arange(occupied.shape[1], device=occupied.device)
    last = torch.where(occupied, numbers, 0).amax(1)
    first = torch.where(occupied, numbers, occupied.shape[1]).amin(1)
    return torch.where(first > last, 0, first), last
