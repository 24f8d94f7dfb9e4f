"""Masks as bits in torch tensors: an eighth of the memory of bool, on any device."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch.nn import functional as F

from objectomaly_ros.arrays.mask_stack import nearest_pixels

_VALUES = (128, 64, 32, 16, 8, 4, 2, 1)
_TILE_PIXELS = 2**26  # pixels of masks that are worked on at a time


@lru_cache(maxsize=8)
def bit_values(device: torch.device) -> torch.Tensor:
    """Return (8,) uint8, what each pixel of a byte adds to it, the first first.

    Kept on the device: a copy from the host would wait for the device at every call.
    """
    return torch.tensor(_VALUES, dtype=torch.uint8, device=device)


def pack_bits(masks: torch.Tensor) -> torch.Tensor:
    """Pack masks as `np.packbits` does along the last axis.

    Args:
        masks: (N, H, W) bool.

    Returns:
        (N, H, ceil(W / 8)) uint8, eight pixels of a row in a byte, the first in its highest bit;
        the last byte of a row is filled up with 0.
    """
    padded = F.pad(masks.to(torch.uint8), (0, -masks.shape[2] % 8))
    grouped = padded.reshape(*padded.shape[:2], padded.shape[2] // 8, 8)
    return (grouped * bit_values(masks.device)).sum(3, dtype=torch.uint8)


def unpack_bits(bits: torch.Tensor, width: int) -> torch.Tensor:
    """Return the (N, H, width) bool masks of (N, H, ceil(width / 8)) uint8 bits."""
    spread = (bits[..., None] & bit_values(bits.device)) != 0
    return spread.reshape(*bits.shape[:2], 8 * bits.shape[2])[..., :width]


def count_bits(bits: torch.Tensor) -> torch.Tensor:
    """Return the (N,) int64 pixels of each mask of (N, h, w8) uint8 bits; nothing is unpacked."""
    counts = torch.zeros(len(bits), dtype=torch.int64, device=bits.device)
    step = max(1, _TILE_PIXELS // 8 // max(1, bits[:1].numel()))
    for first in range(0, len(bits), step):
        part = bits[first : first + step]
        part = part - ((part >> 1) & 0x55)  # in every two bits how many of them were set
        part = (part & 0x33) + ((part >> 2) & 0x33)
        part = (part & 0x0F) + (part >> 4)
        counts[first : first + step] = part.sum((1, 2))
    return counts


def resize_bits(bits: torch.Tensor, width: int, shape: tuple[int, int]) -> torch.Tensor:
    """Return masks at another resolution, resized like `cv2.INTER_NEAREST`.

    Args:
        bits: (N, h, ceil(width / 8)) uint8.
        width: of the masks, pixels.
        shape: (H, W) wanted.

    Returns:
        (N, H, ceil(W / 8)) uint8; `bits` themselves if that is their resolution.
    """
    if shape == (bits.shape[1], width):
        return bits
    rows = _nearest(bits.shape[1], shape[0], bits.device)
    columns = _nearest(width, shape[1], bits.device)
    resized = bits.new_empty((len(bits), shape[0], -(-shape[1] // 8)))
    step = max(1, _TILE_PIXELS // (shape[0] * max(shape[1], width)))
    for first in range(0, len(bits), step):
        masks = unpack_bits(bits[first : first + step, rows], width)
        resized[first : first + step] = pack_bits(masks[:, :, columns])
    return resized


@lru_cache(maxsize=32)
def _nearest(source: int, target: int, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(nearest_pixels(source, target)).to(device)
