"""Masks at full size on the CPU: each within a box that holds its pixels, in cache."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from objectomaly_ros.masks.sam.placement import Cuts, Measures, Placement

_Floats = npt.NDArray[np.float32]


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
