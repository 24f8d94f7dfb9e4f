"""A stack of masks, brought to the score map's resolution crop by crop."""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.arrays.checks import check_masks
from objectomaly_ros.types import Masks

Crop: TypeAlias = tuple[slice, slice]

_BLOCK = 8  # rows that are read together to locate masks


class MaskStack:
    """N masks at the resolution of a map, each within a box that holds its pixels.

    Masks are never copied at full size: one pass over the stack locates them, and every later step
    reads crops. Masks of another resolution are resized as by `cv2.INTER_NEAREST`.
    """

    def __init__(
        self,
        masks: Masks,
        shape: tuple[int, int],
        areas: npt.ArrayLike | None = None,
        boxes: npt.ArrayLike | None = None,
    ) -> None:
        """Locate the masks.

        Args:
            masks: (N, h, w) bool.
            shape: (H, W) of the map.
            areas: (N,) by which masks rank; their pixel counts at (h, w) if None.
            boxes: (N, 4) x, y, width, height at (h, w), each holding its whole mask; found in the
                masks if None.

        Raises:
            TypeError: the masks are not bool.
            ValueError: a shape does not fit.
        """
        self.masks = check_masks(masks)
        self._raw = self.masks.view(np.uint8)
        self.shape = shape
        self._boxes = (
            _loose_boxes(self._raw) if boxes is None else _given_boxes(boxes, self._raw.shape)
        )
        height, width = self.masks.shape[1:]
        self._resized = (height, width) != tuple(shape)
        if self._resized:
            self._rows = nearest_pixels(height, shape[0])
            self._columns = nearest_pixels(width, shape[1])
        if areas is None:
            self.areas = self._count()
        else:
            self.areas = np.asarray(areas)
            if self.areas.shape != (len(self.masks),):
                raise ValueError(
                    f"areas must have shape ({len(self.masks)},), one a mask, "
                    f"got {self.areas.shape}"
                )

    def __len__(self) -> int:
        return len(self.masks)

    def ascending(self) -> npt.NDArray[np.intp]:
        """Return the (N,) indices by ascending area; equal areas keep the order given."""
        return np.argsort(self.areas, kind="stable")

    def crop(self, index: int) -> tuple[Crop, npt.NDArray[np.uint8]] | None:
        """Return the place of mask `index` on the map, and the mask there; None if it has no pixel.

        Returns:
            The rows and columns of a box on the map that holds the mask, and the mask in this box,
            uint8, 0 or 1; for reading only. With given boxes, it may have no pixel.
        """
        top, bottom, left, right = self._boxes[index]
        if self._resized:
            top, bottom = np.searchsorted(self._rows, (top, bottom)).tolist()
            left, right = np.searchsorted(self._columns, (left, right)).tolist()
            rows = self._raw[index].take(self._rows[top:bottom], axis=0)
            mask = rows.take(self._columns[left:right], axis=1)
        else:
            mask = self._raw[index, top:bottom, left:right]
        if mask.size == 0:
            return None  # no pixel, or none at the resolution of the map
        return (slice(top, bottom), slice(left, right)), mask

    def _count(self) -> npt.NDArray[np.int64]:
        counts = [
            cv2.countNonZero(self._raw[i, top:bottom, left:right]) if bottom > top else 0
            for i, (top, bottom, left, right) in enumerate(self._boxes)
        ]
        return np.array(counts, dtype=np.int64)


def _loose_boxes(raw: npt.NDArray[np.uint8]) -> list[tuple[int, int, int, int]]:
    """Return for each mask the (top, bottom, left, right) of a box that holds it.

    Reads the stack once, in contiguous blocks of rows, and then the blocks with pixels of a mask.
    """
    count, height, width = raw.shape
    if count == 0:
        return []
    whole = height - height % _BLOCK
    blocks = raw[:, :whole].reshape(count, whole // _BLOCK, _BLOCK * width)
    rows = np.bitwise_or.reduce(blocks, axis=2)
    if whole < height:
        rest = np.bitwise_or.reduce(raw[:, whole:].reshape(count, -1), axis=1)
        rows = np.concatenate([rows, rest[:, None]], axis=1)
    columns = np.zeros((count, width), np.uint8)
    top, bottom = (edge * _BLOCK for edge in _span(rows))
    for mask, column, first, last in zip(raw, columns, top, bottom, strict=True):
        np.bitwise_or.reduce(mask[first:last], axis=0, out=column)
    left, right = _span(columns)
    edges = np.stack([top, np.minimum(bottom, height), left, right], axis=1)
    return [tuple(box) for box in edges.tolist()]


def _span(occupied: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return for each row the index of its first nonzero, and that after its last; 0, 0 if none."""
    flags = occupied.view(np.bool_)
    some = flags.any(axis=1)
    return flags.argmax(axis=1), np.where(some, flags.shape[1] - flags[:, ::-1].argmax(axis=1), 0)


def _given_boxes(boxes: npt.ArrayLike, shape: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """Turn (N, 4) x, y, width, height into (top, bottom, left, right) within the masks."""
    xywh = np.asarray(boxes, dtype=np.float64)
    if xywh.shape != (shape[0], 4):
        raise ValueError(
            f"boxes must have shape ({shape[0]}, 4), x, y, width, height of each mask, "
            f"got {xywh.shape}"
        )
    # Outwards to whole pixels, and one more: some generators' width is last minus first pixel.
    left, top = np.floor(xywh[:, :2]).T
    right, bottom = np.ceil(xywh[:, :2] + xywh[:, 2:]).T + 1
    edges = np.stack([top, bottom, left, right], axis=1)
    limits = (shape[1], shape[1], shape[2], shape[2])
    return [(int(t), int(b), int(le), int(r)) for t, b, le, r in np.clip(edges, 0, limits)]


def nearest_pixels(source: int, target: int) -> npt.NDArray[np.intp]:
    """Return for each of `target` pixels the index that `cv2.INTER_NEAREST` reads.

    Asks OpenCV, whose rule is not half-pixel centred and differs between its interpolations.
    """
    line = np.arange(source, dtype=np.float32)[None]
    picked: npt.NDArray[np.intp] = cv2.resize(line, (target, 1), interpolation=cv2.INTER_NEAREST)[
        0
    ].astype(np.intp)
    return picked
