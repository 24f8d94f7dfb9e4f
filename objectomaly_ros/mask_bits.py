"""Masks as bits in torch tensors: an eighth of the memory of bool, on any device."""

from __future__ import annotations

import torch
from torch.nn import functional as F

_VALUES = (128, 64, 32, 16, 8, 4, 2, 1)


def pack_bits(masks: torch.Tensor) -> torch.Tensor:
    """Pack masks as `np.packbits` does along the last axis.

    Args:
        masks: (N, H, W) bool.

    Returns:
        (N, H, ceil(W / 8)) uint8, eight pixels of a row in a byte, the first in its highest bit;
        the last byte of a row is filled up with 0.
    """
    padded = F.pad(masks.to(torch.uint8), (0, -masks.shape[2] % 8))
    values = torch.tensor(_VALUES, dtype=torch.uint8, device=masks.device)
    grouped = padded.reshape(*padded.shape[:2], padded.shape[2] // 8, 8)
    return (grouped * values).sum(3, dtype=torch.uint8)


def unpack_bits(bits: torch.Tensor, width: int) -> torch.Tensor:
    """Return the (N, H, width) bool masks of (N, H, ceil(width / 8)) uint8 bits."""
    values = torch.tensor(_VALUES, dtype=torch.uint8, device=bits.device)
    spread = (bits[..., None] & values) != 0
    return spread.reshape(*bits.shape[:2], 8 * bits.shape[2])[..., :width]
