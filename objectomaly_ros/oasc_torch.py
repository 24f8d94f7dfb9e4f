"""OASC on the device: neither masks nor score nor calibrated map ever leave it.

The rules are those of `oasc.calibrate`, whose docstring has the source.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch

from objectomaly_ros.mask_bits import unpack_bits
from objectomaly_ros.mask_stack import nearest_pixels

_TILE_PIXELS = 2**26  # pixels of masks that are unpacked at a time


def calibrate(
    score: torch.Tensor,
    bits: torch.Tensor,
    width: int,
    *,
    overlap: Literal["largest", "smallest"] = "largest",
    areas: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return `score` with every masked pixel set to the mean score of its mask.

    Nothing waits for the device, and every run gives the same bits: sums go along rows in float32
    and over rows in float64, in a fixed order.

    Memory on the way: at most 700 MB, and less where the masks have fewer than 67 million pixels
    in all.

    Args:
        score: (H, W) float32, any range.
        bits: (N, h, ceil(w / 8)) uint8, see `mask_bits.pack_bits`, on the device of `score`. Masks
            of another resolution are resized like `cv2.INTER_NEAREST`. N may be 0.
        width: w, pixels.
        overlap: which mask wins where several overlap.
        areas: (N,) what masks are ordered by; their pixel counts at (h, w) if None.

    Returns:
        (H, W) float32, a new tensor.

    Raises:
        TypeError: if `score` is not float32 or `bits` not uint8.
        ValueError: if a shape does not fit, or `overlap` is unknown.
    """
    _check(score, bits, width, overlap)
    if areas is None:
        areas = _counts(bits, width)
    if areas.shape != (len(bits),):
        raise ValueError(f"areas must have shape ({len(bits)},), one a mask, got {areas.shape}")
    if len(bits) == 0:
        return score.clone()
    means, present = _means(score, bits, width)
    numbers = torch.arange(1, len(bits) + 1, dtype=torch.int32, device=score.device)
    rank = torch.empty_like(numbers)
    rank[torch.argsort(areas, stable=True)] = numbers
    rank = torch.where(present, rank if overlap == "largest" else len(bits) + 1 - rank, 0)
    of_rank = torch.zeros(len(bits) + 1, dtype=torch.float32, device=score.device)
    of_rank[rank] = means
    result = torch.empty_like(score)
    for rows, masks in _tiles(bits, width, (score.shape[0], score.shape[1])):
        winner = torch.where(masks, rank[:, None, None], 0).amax(0)
        result[rows] = torch.where(winner > 0, of_rank[winner], score[rows])
    return result


def _means(
    score: torch.Tensor, bits: torch.Tensor, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the (N,) float32 means of the finite scores, and (N,) whether there are any."""
    finite = score.isfinite()
    clean = torch.where(finite, score, 0)
    sums = torch.zeros(len(bits), dtype=torch.float64, device=score.device)
    counts = torch.zeros(len(bits), dtype=torch.int64, device=score.device)
    for rows, masks in _tiles(bits, width, (score.shape[0], score.shape[1])):
        sums += torch.where(masks, clean[rows], 0).sum(2).double().sum(1)
        counts += (masks & finite[rows]).sum((1, 2))
    return (sums / counts).float(), counts > 0


def _counts(bits: torch.Tensor, width: int) -> torch.Tensor:
    counts = torch.zeros(len(bits), dtype=torch.int64, device=bits.device)
    for _, masks in _tiles(bits, width, (bits.shape[1], width)):
        counts += masks.sum((1, 2))
    return counts


def _tiles(
    bits: torch.Tensor, width: int, shape: tuple[int, int]
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield rows of a map of `shape` and the (N, rows, W) bool masks there."""
    height = bits.shape[1]
    source = torch.arange(shape[0], device=bits.device)
    columns = None
    if shape[0] != height:
        source = torch.from_numpy(nearest_pixels(height, shape[0])).to(bits.device)
    if shape[1] != width:
        columns = torch.from_numpy(nearest_pixels(width, shape[1])).to(bits.device)
    step = max(1, _TILE_PIXELS // max(1, len(bits) * max(width, shape[1])))
    for first in range(0, shape[0], step):
        rows = slice(first, first + step)
        masks = unpack_bits(bits[:, source[rows]], width)
        yield rows, masks if columns is None else masks[:, :, columns]


def _check(score: torch.Tensor, bits: torch.Tensor, width: int, overlap: str) -> None:
    if score.dtype != torch.float32:
        raise TypeError(f"a score map on the device must be float32, got {score.dtype}")
    if score.ndim != 2 or score.numel() == 0:
        raise ValueError(f"a score map must have shape (H, W), got {tuple(score.shape)}")
    if bits.dtype != torch.uint8:
        raise TypeError(
            f"mask bits must be uint8, got {bits.dtype}; mask_bits.pack_bits makes them"
        )
    if bits.ndim != 3 or bits.shape[2] != -(-width // 8):
        raise ValueError(
            f"bits of masks {width} pixels wide must have shape (N, h, {-(-width // 8)}), "
            f"got {tuple(bits.shape)}"
        )
    if overlap not in ("largest", "smallest"):
        raise ValueError(f"overlap on the device must be 'largest' or 'smallest', got {overlap!r}")
