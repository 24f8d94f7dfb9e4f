"""Masks at full size on the CPU: each within the box where it has pixels, out of the cache."""

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
        first, last: (n_out,) the first and the last of these inputs; ascending.
    """

    weights: _Floats
    first: npt.NDArray[np.intp]
    last: npt.NDArray[np.intp]

    @classmethod
    def of(cls, weights: _Floats) -> _Axis:
        used = weights != 0
        last = weights.shape[1] - 1 - used[:, ::-1].argmax(1)
        return cls(weights, np.maximum.accumulate(used.argmax(1)), np.maximum.accumulate(last))

    def reached(self, start: int, stop: int) -> slice:
        """Return the outputs that inputs start..stop-1 have a part in."""
        return slice(int(np.searchsorted(self.last, start)), int(np.searchsorted(self.first, stop)))

    def needed(self, outputs: slice) -> slice:
        """Return the inputs that have a part in `outputs`, of which there is at least one."""
        return slice(int(self.first[outputs.start]), int(self.last[outputs.stop - 1]) + 1)


class BoxedMasks:
    """Measures and makes masks one after the other, each only where its logits are high enough.

    Both interpolations of a placement are linear and separable, so along each axis they are one
    banded matrix. Its entries are those of the library's own interpolation; sums are taken in
    another order, so that logits differ from the package's by rounding, about 1e-7 of their size.
    """

    def __init__(self, placement: Placement, low_side: int) -> None:
        """Work on masks of low_side x low_side logits."""
        self._placement = placement
        step = placement.network_side // low_side
        unit = placement.trim(torch.eye(low_side)[None])[0]
        self._rows = _Axis.of(
            _axis(len(unit), step, placement.input_size[0], placement.crop_size[0])
        )
        self._columns = _Axis.of(
            _axis(unit.shape[1], step, placement.input_size[1], placement.crop_size[1])
        )

    def measure(self, logits: torch.Tensor, cuts: Cuts) -> Measures:
        """Measure N masks of which nothing else is kept.

        Args:
            logits: (N, h, w) float32, trimmed by the placement.
            cuts: where masks end.
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
        # NumPy's zeros cost no memory before something is written, torch's do.
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
        """Return the rows and columns of the crop outside which no logit exceeds `cut`."""
        x, y, width, height = cv2.boundingRect(_above(low, cut))
        rows, columns = self._rows.reached(y, y + height), self._columns.reached(x, x + width)
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return None
        return rows, columns

    def _upsample(self, low: _Floats, rows: slice, columns: slice) -> _Floats:
        from_rows, from_columns = self._rows.needed(rows), self._columns.needed(columns)
        # By torch, whose number of threads the mask process limits beside CAS; numpy has its own.
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
    """Return 1 where a logit exceeds the cut, else 0."""
    return (logits > cut).view(np.uint8)


def _axis(n_in: int, step: int, filled: int, n_out: int) -> _Floats:
    """Return the (n_out, n_in) matrix of both interpolations, asked of the library itself."""
    unit = torch.eye(n_in)[None]
    fine = F.interpolate(unit, scale_factor=step, mode="linear", align_corners=False)
    full = F.interpolate(fine[..., :filled], n_out, mode="linear", align_corners=False)
    matrix: _Floats = np.ascontiguousarray(full[0].T.numpy())
    return matrix
