"""OASC on the device: neither masks nor score nor calibrated map ever leave it.

The rules are those of `oasc.calibrate`, whose docstring has the source.

What costs time is traffic: 120 masks of 1280x720 are 14 MB as bits, 111 MB as bool, 442 MB as
float32. So they are never unpacked as a whole: the bytes that hold a pixel of a mask are looked
for, in two passes over the bits, and only these are unpacked, beside the 8 scores that each looks
at. For `make bench`'s masks, whose areas add up to one frame, the tensors that operations read and
write are 170 MB, in 64 operations; with areas of four frames 350 MB. Unpacking and reducing all
masks was 3.2 GB.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import functional as F

from objectomaly_ros.gpu.mask_bits import count_bits, resize_bits
from objectomaly_ros.gpu.occupied_bytes import OccupiedBytes

_TILE_BYTES = 2**24  # of bits looked through at a time
# Fixed point: the 2**27 pixels of a tile, each below 2**34, add up to less than an int64 holds.
_FRACTION_BITS = 34


def calibrate(
    score: torch.Tensor,
    bits: torch.Tensor,
    width: int,
    *,
    overlap: Literal["largest", "smallest"] = "largest",
    residual: float = 0.0,
    areas: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return `score` with every masked pixel set to the mean score of its mask.

    The device is waited for once in 134 million pixels of masks, for how many bytes of them are not
    0. Every run gives the same bits: scores are summed as integers, in units of 2**-34 of the power
    of two above the highest, so that order does not matter; that is exact for all float32 values
    above a thousandth of the highest, and the rest is off by less than its own share of 1e-10.

    Memory on the way: at most 1 GB, where the masks cover everything, and some 100 MB for the masks
    of a street in 1280x720.

    Args:
        score: (H, W) float32, any range.
        bits: (N, h, ceil(w / 8)) uint8, see `mask_bits.pack_bits`, on the device of `score`. Masks
            of another resolution are resized like `cv2.INTER_NEAREST`. N may be 0.
        width: w, pixels.
        overlap: which mask wins where several overlap.
        residual: the share of its own score that a covered pixel keeps, 0 to 1.
        areas: (N,) what masks are ordered by; their pixel counts at (h, w) if None.

    Returns:
        (H, W) float32, a new tensor.

    Raises:
        TypeError: if `score` is not float32 or `bits` not uint8.
        ValueError: if a shape does not fit, or `overlap` or `residual` is not allowed.
    """
    _check(score, bits, width, overlap, residual)
    if areas is None:
        areas = count_bits(bits)
    if areas.shape != (len(bits),):
        raise ValueError(f"areas must have shape ({len(bits)},), one a mask, got {areas.shape}")
    if len(bits) == 0:
        return score.clone()
    height, columns = score.shape
    bits = resize_bits(bits, width, (height, columns))
    pixels = _Pixels.of(F.pad(score, (0, 8 * bits.shape[2] - columns)).view(-1, 8))
    ranks = _ranks(areas, descending=overlap == "smallest")
    winner = torch.zeros(pixels.finite.shape, dtype=torch.int32, device=score.device)
    of_rank = torch.zeros(len(bits) + 1, dtype=torch.float32, device=score.device)
    per_mask = len(winner)
    step = max(1, _TILE_BYTES // per_mask)
    for first in range(0, len(bits), step):
        occupied = OccupiedBytes.of(bits[first : first + step])
        means, present = _means(occupied, pixels)
        rank = torch.where(present, ranks[first : first + step], 0)
        of_rank.scatter_(0, rank, means)
        rank = rank.int()
        for part in occupied.parts:
            values = torch.where(part.pixels(), rank[part.mask, None], 0)
            # The highest of integers: the order in which the device gets there does not matter.
            winner.scatter_reduce_(0, part.position[:, None].expand(-1, 8), values, "amax")
    winner = winner.view(height, -1)[:, :columns]
    value = of_rank[winner]
    if residual > 0:
        value = value.lerp(torch.where(score.abs() < math.inf, score, value), residual)
    return torch.where(winner > 0, value, score)


@dataclass(frozen=True, eq=False)
class _Pixels:
    """A score map in groups of 8 pixels, as bytes of bits have them.

    Attributes:
        score: (P, 8) float32, 0 where it is not finite.
        finite: (P, 8) bool.
        scale: () float64, a power of two: what a score of 1 is in fixed point.
    """

    score: torch.Tensor
    finite: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def of(cls, score: torch.Tensor) -> _Pixels:
        """Take (P, 8) float32."""
        finite = score.abs() < math.inf  # two passes; isfinite takes four
        clean = torch.where(finite, score, 0)
        low, high = clean.aminmax()
        exponent = torch.maximum(high, -low).frexp().exponent
        return cls(clean, finite, (_FRACTION_BITS - exponent).double().exp2())


def _means(occupied: OccupiedBytes, pixels: _Pixels) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the (n,) float32 means of the finite scores, and (n,) whether there are any."""
    sums, counts = [], []
    for part in occupied.parts:
        mask = part.pixels()
        total = torch.where(mask, pixels.score[part.position], 0).sum(1, dtype=torch.float64)
        sums.append((total * pixels.scale).long())
        counts.append((mask & pixels.finite[part.position]).sum(1, dtype=torch.uint8))
    count = occupied.sums(counts)
    return (occupied.sums(sums) / pixels.scale / count).float(), count > 0


def _ranks(areas: torch.Tensor, *, descending: bool) -> torch.Tensor:
    """Return (N,) int64: 1 for the mask that loses to all others, up to N."""
    order = torch.argsort(areas, stable=True)
    ranks = torch.arange(1, len(areas) + 1, device=areas.device)
    ranks = ranks.flip(0) if descending else ranks
    return torch.empty_like(ranks).scatter_(0, order, ranks)


def _check(
    score: torch.Tensor, bits: torch.Tensor, width: int, overlap: str, residual: float
) -> None:
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
    if not 0 <= residual <= 1:
        raise ValueError(f"residual is the share of the score that is kept, 0 to 1; got {residual}")
