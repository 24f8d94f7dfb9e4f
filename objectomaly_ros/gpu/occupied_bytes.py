"""The bytes of packed masks that hold a pixel: what OASC on a device looks at, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn import functional as F

from objectomaly_ros.gpu.mask_bits import bit_values

_PART = 2**21  # bytes worked on at a time


class Part(NamedTuple):
    """Some bytes that hold a pixel.

    Attributes:
        byte: (m,) uint8.
        mask: (m,) int64, which mask each belongs to.
        position: (m,) int64, where it lies in that mask.
    """

    byte: torch.Tensor
    mask: torch.Tensor
    position: torch.Tensor

    def pixels(self) -> torch.Tensor:
        """Return which of the 8 pixels of each byte are mask, (m, 8) bool."""
        return (self.byte[:, None] & bit_values(self.byte.device)) != 0


@dataclass(frozen=True, eq=False)
class OccupiedBytes:
    """All bytes of n masks that hold a pixel.

    Attributes:
        parts: the bytes in parts of bounded size, mask after mask; at least one.
        ends: (n + 1,) int64, where each mask's bytes begin and the last one's end.
    """

    parts: list[Part]
    ends: torch.Tensor

    @classmethod
    def of(cls, bits: torch.Tensor) -> OccupiedBytes:
        """Find them in (n, h, w8) uint8; this waits for the device, which must say how many."""
        flat = bits.reshape(-1)
        index = flat.nonzero()[:, 0]
        per_mask = bits.shape[1] * bits.shape[2]
        bounds = torch.arange(len(bits) + 1, device=bits.device) * per_mask
        parts = []
        for first in range(0, max(1, len(index)), _PART):
            where = index[first : first + _PART]
            mask = where.div(per_mask, rounding_mode="floor")
            parts.append(Part(flat[where], mask, where - mask * per_mask))
        return cls(parts, torch.searchsorted(index, bounds))

    def sums(self, values: list[torch.Tensor]) -> torch.Tensor:
        """Return the (n,) int64 sums over each mask of a value of each byte.

        Args:
            values: (m,) integer for each of the parts.
        """
        running = F.pad(torch.cat(values).cumsum(0, dtype=torch.int64), (1, 0))
        return running[self.ends].diff()
