"""Masks at full size on a GPU: whole masks, so many at a time that memory is bounded."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn import functional as F

from objectomaly_ros.masks.sam.placement import Cuts, Measures, Placement

_TILE_BYTES = 64 * 2**20  # float32 logits of one size that exist at a time


class TiledMasks:
    """Measures and makes masks with a fixed number of device operations a tile, and no waiting."""

    def __init__(self, placement: Placement, low_side: int) -> None:
        """Work on masks of low_side x low_side logits."""
        self._placement = placement
        self._step = placement.network_side // low_side
        height, width = placement.crop_size
        self._tile = max(1, _TILE_BYTES // (4 * max(placement.network_side**2, height * width)))

    def measure(self, logits: torch.Tensor, cuts: Cuts) -> Measures:
        """Measure N masks of which nothing else is kept.

        Args:
            logits: (N, h, w) float32, trimmed by the placement.
            cuts: where masks end.
        """
        parts = [_measure(full, cuts) for full in self._tiles(logits)]
        if not parts:
            none = torch.zeros(0, dtype=torch.int64, device=logits.device)
            return Measures(none.float(), none.reshape(0, 4), none)
        return Measures(
            torch.cat([part.stability for part in parts]),
            torch.cat([part.boxes for part in parts]),
            torch.cat([part.areas for part in parts]),
        )

    def masks(self, logits: torch.Tensor, threshold: float) -> torch.Tensor:
        """Return the N masks in the image, (N, H, W) bool."""
        x0, y0, x1, y1 = self._placement.crop_box
        height, width = self._placement.image_size
        around = (x0, width - x1, y0, height - y1)
        parts = [F.pad(full > threshold, around) for full in self._tiles(logits)]
        none = torch.zeros((0, height, width), dtype=torch.bool, device=logits.device)
        return torch.cat([none, *parts])

    def _tiles(self, logits: torch.Tensor) -> Iterator[torch.Tensor]:
        for first in range(0, len(logits), self._tile):
            yield self._placement.upsample(logits[first : first + self._tile], self._step)


def _measure(full: torch.Tensor, cuts: Cuts) -> Measures:
    threshold, offset = cuts
    mask = full > threshold
    high = (full > threshold + offset).sum((1, 2), dtype=torch.int32)
    low = (full > threshold - offset).sum((1, 2), dtype=torch.int32)
    y0, y1 = _span(mask.any(2))
    x0, x1 = _span(mask.any(1))
    return Measures(high / low, torch.stack([x0, y0, x1, y1], dim=1), mask.sum((1, 2)))


def _span(occupied: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first and last True of each row of (N, L), 0 and 0 where there is none."""
    numbers = torch.arange(occupied.shape[1], device=occupied.device)
    last = torch.where(occupied, numbers, 0).amax(1)
    first = torch.where(occupied, numbers, occupied.shape[1]).amin(1)
    return torch.where(first > last, 0, first), last
