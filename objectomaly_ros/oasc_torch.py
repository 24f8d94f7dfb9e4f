"""OASC on the device: neither masks nor score nor calibrated map ever leave it.

The rules are those of `oasc.calibrate`, whose docstring has the source.

What costs time is traffic: 120 masks of 1280x720 are 14 MB as bits, 111 MB as bool, 442 MB as
float32. So they are never unpacked as a whole: the bytes that hold a pixel of a mask are looked
for, in two passes over the bits, and only these are unpacked, beside the 8 scores that each looks
at. For `make bench`'s masks, whose areas add up to one frame, every tensor that an operation reads
or writes is 206 MB in 63 operations; unpacking and reducing all of them was 3.2 GB.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import functional as F

from objectomaly_ros.mask_bits import bit_values, count_bits, resize_bits

_TILE_BYTES = 2**24  # of bits looked through at a time
_PART = 2**21  # bytes unpacked at a time
# Fixed point: 2**27 pixels of a tile, each below 2**34, add up to less than an int64 holds.
_FRACTION_BITS = 34
_LEAST_EXPONENT = -90


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

    Memory on the way: at most 700 MB, and some 100 MB for the masks of a street in 1280x720.

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
        occupied = _Occupied.of(bits[first : first + step])
        means, present = _means(occupied, pixels, per_mask)
        rank = torch.where(present, ranks[first : first + step], 0)
        of_rank.scatter_(0, rank, means)
        for byte, mask, position in occupied.parts(per_mask):
            values = torch.where(_unpacked(byte), rank[mask, None].int(), 0)
            # The highest of integers: the order in which the device gets there does not matter.
            winner.scatter_reduce_(0, position[:, None].expand(-1, 8), values, "amax")
    winner = winner.view(height, -1)[:, :columns]
    value = of_rank[winner]
    if residual > 0:
        value = value.lerp(torch.where(score.abs() < math.inf, score, value), residual)
    return torch.where(winner > 0, value, score)


@dataclass(frozen=True, eq=False)
class _Pixels:
    """A score map in groups of 8 pixels, as bytes of bits have them.

    Attributes:
        fixed: (P, 8) int64, the finite scores in units of 1 / `scale`, cut off; 0 elsewhere.
        finite: (P, 8) bool.
        scale: () float64, a power of two.
    """

    fixed: torch.Tensor
    finite: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def of(cls, score: torch.Tensor) -> _Pixels:
        """Take (P, 8) float32."""
        finite = score.abs() < math.inf  # two passes; isfinite takes four
        clean = torch.where(finite, score, 0)
        low, high = clean.aminmax()
        exponent = torch.maximum(high, -low).frexp().exponent
        # At least what lets the scale be a float32: then the product is exact.
        scale = (_FRACTION_BITS - exponent.clamp(min=_LEAST_EXPONENT)).double().exp2()
        return cls((clean * scale).long(), finite, scale)


@dataclass(frozen=True, eq=False)
class _Occupied:
    """The bytes of some masks that hold a pixel.

    Attributes:
        bytes: (M,) uint8, above 0.
        index: (M,) int64, where each lies among the bytes of all the masks; ascending.
        count: number of masks.
    """

    bytes: torch.Tensor
    index: torch.Tensor
    count: int

    @classmethod
    def of(cls, bits: torch.Tensor) -> _Occupied:
        """Find them in (n, h, w8) uint8; this waits for the device."""
        flat = bits.reshape(-1)
        index = flat.nonzero()[:, 0]
        return cls(flat[index], index, len(bits))

    def parts(self, per_mask: int) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Return bytes, the mask of each, and its place in the mask, so many at a time."""
        parts = []
        for first in range(0, max(1, len(self.bytes)), _PART):
            index = self.index[first : first + _PART]
            mask = index.div(per_mask, rounding_mode="floor")
            parts.append((self.bytes[first : first + _PART], mask, index - mask * per_mask))
        return parts

    def sums(self, values: list[torch.Tensor], per_mask: int) -> torch.Tensor:
        """Return the (count,) int64 sums over masks of int64 values of the bytes, in parts."""
        running = F.pad(torch.cat(values).cumsum(0), (1, 0))
        bounds = torch.arange(self.count + 1, device=self.index.device) * per_mask
        return running[torch.searchsorted(self.index, bounds)].diff()


def _means(
    occupied: _Occupied, pixels: _Pixels, per_mask: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the (n,) float32 means of the finite scores, and (n,) whether there are any."""
    sums, counts = [], []
    for byte, _, position in occupied.parts(per_mask):
        mask = _unpacked(byte)
        sums.append(torch.where(mask, pixels.fixed[position], 0).sum(1))
        counts.append((mask & pixels.finite[position]).sum(1))
    total, count = occupied.sums(sums, per_mask), occupied.sums(counts, per_mask)
    return (total / pixels.scale / count).float(), count > 0


def _unpacked(byte: torch.Tensor) -> torch.Tensor:
    return (byte[:, None] & bit_values(byte.device)) != 0


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
