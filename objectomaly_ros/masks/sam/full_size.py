"""Masks at full size, measured and made: one by one in boxes on a CPU, in tiles on a GPU."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from segment_anything.utils import amg
from torch.nn import functional as F

_Floats = npt.NDArray[np.float32]

_TILE_BYTES = 64 * 2**20  # float32 logits of one size that exist at a time


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


@dataclass(frozen=True)
class _Axis:
    """Upsampling along one axis: a banded matrix.

    Attributes:
        weights: (n_out, n_in) float32, two or three neighbouring inputs of each output.
        first, last: (n_out,) ascending, the first and the last of these inputs.
    """

    weights: _Floats
    first: npt.NDArray[np.intp]
    last: npt.NDArray[np.intp]

    @classmethod
    def of(cls, step: int, n_in: int, filled: int, n_out: int) -> _Axis:
        """Ask the library for the weights of both interpolations."""
        unit = torch.eye(n_in)[None]
        fine = F.interpolate(unit, scale_factor=step, mode="linear", align_corners=False)
        full = F.interpolate(fine[..., :filled], n_out, mode="linear", align_corners=False)
        weights: _Floats = np.ascontiguousarray(full[0].T.numpy())
        used = weights != 0
        last = weights.shape[1] - 1 - used[:, ::-1].argmax(1)
        return cls(weights, np.maximum.accumulate(used.argmax(1)), np.maximum.accumulate(last))

    def reached(self, start: int, stop: int) -> slice:
        """Return the outputs that inputs start..stop-1 contribute to."""
        return slice(int(np.searchsorted(self.last, start)), int(np.searchsorted(self.first, stop)))

    def needed(self, outputs: slice) -> slice:
        """Return the inputs that contribute to `outputs`, one or more."""
        return slice(int(self.first[outputs.start]), int(self.last[outputs.stop - 1]) + 1)


class BoxedMasks:
    """Measures and makes masks one after the other, each only in the box of its high logits.

    Both interpolations of a placement are linear and separable, so along each axis they are one
    banded matrix. Its entries are those of the library's interpolation. Sums are taken in another
    order, so logits differ from the package's by rounding, about 1e-7 of their size.
    """

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        sizes = zip(placement.low_size, placement.input_size, placement.crop_size, strict=True)
        self._rows, self._columns = (_Axis.of(placement.step, *lengths) for lengths in sizes)

    def measure(self, logits: torch.Tensor, cuts: Cuts) -> Measures:
        """Measure N masks and forget them.

        Args:
            logits: (N, h, w) float32, trimmed by the placement.
            cuts: the logits at which masks end.
        """
        threshold, offset = cuts
        counts = np.zeros((len(logits), 3), dtype=np.int32)  # above high, low, threshold
        boxes = np.zeros((len(logits), 4), dtype=np.int64)
        for low, count, box in zip(logits.numpy(), counts, boxes, strict=True):
            located = self._locate(low, threshold - abs(offset))
            if located is None:
                continue
            rows, columns = located
            full = self._upsample(low, rows, columns)
            mask = _above(full, threshold)
            for index, cut in enumerate((threshold + offset, threshold - offset)):
                count[index] = cv2.countNonZero(_above(full, cut))
            count[2] = cv2.countNonZero(mask)
            if count[2]:
                x, y, width, height = cv2.boundingRect(mask)
                x, y = x + columns.start, y + rows.start
                box[:] = x, y, x + width - 1, y + height - 1
        high, low_count, areas = torch.from_numpy(counts).unbind(1)
        return Measures(high / low_count, torch.from_numpy(boxes), areas.to(torch.int64))

    def masks(self, logits: torch.Tensor, threshold: float) -> torch.Tensor:
        """Return the N masks in the image, (N, H, W) bool."""
        x0, y0, _, _ = self._placement.crop_box
        height, width = self._placement.image_size
        # Unlike torch's, NumPy's zeros take no memory until they are written.
        masks = np.zeros((len(logits), height, width), dtype=np.bool_)
        for low, mask in zip(logits.numpy(), masks, strict=True):
            located = self._locate(low, threshold)
            if located is None:
                continue
            rows, columns = located
            placed = mask[y0 + rows.start : y0 + rows.stop, x0 + columns.start : x0 + columns.stop]
            np.greater(self._upsample(low, rows, columns), threshold, out=placed)
        return torch.from_numpy(masks)

    def _locate(self, low: _Floats, cut: float) -> tuple[slice, slice] | None:
        """Return rows and columns of the crop that hold all logits above `cut`; None if no row."""
        x, y, width, height = cv2.boundingRect(_above(low, cut))
        rows, columns = self._rows.reached(y, y + height), self._columns.reached(x, x + width)
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return None
        return rows, columns

    def _upsample(self, low: _Floats, rows: slice, columns: slice) -> _Floats:
        from_rows, from_columns = self._rows.needed(rows), self._columns.needed(columns)
        # torch, not NumPy: the mask process limits torch's threads, to leave room for CAS.
        down, across, crop = (
            torch.from_numpy(part)
            for part in (
                self._rows.weights[rows, from_rows],
                self._columns.weights[columns, from_columns].T,
                low[from_rows, from_columns],
            )
        )
        full: _Floats = (down @ crop @ across).numpy()
        return full


def _above(logits: _Floats, cut: float) -> npt.NDArray[np.uint8]:
    """Return 1 for logits above the cut, else 0."""
    return (logits > cut).view(np.uint8)


class TiledMasks:
    """Measures and makes masks with a fixed number of device operations a tile, and no waiting.

    Whole masks, so many at a time that memory is bounded. Methods as those of `BoxedMasks`.
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
