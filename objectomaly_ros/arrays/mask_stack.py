"""A stack of masks, brought to the score map's resolution crop by crop."""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.arrays.checks import check_masks
from objectomaly_ros.types import Mask, Masks

Crop: TypeAlias = tuple[slice, slice]

_BLOCK = 16  # rows looked at together when masks are located


class MaskStack:
    """N masks seen at the resolution of a map, each within the box where it has pixels.

    Nothing of full size is copied: masks are located in one pass over the stack, and every later
    step reads crops. A change of resolution takes, for each pixel of the map, the mask pixel that
    `cv2.resize` with `cv2.INTER_NEAREST` would take.
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
            areas: (N,) what the masks are ordered by; their pixel counts at (h, w) if None.
            boxes: (N, 4) x, y, width, height at (h, w), each holding its whole mask, as mask
                generators report them; looked for in the masks if None.

        Raises:
            TypeError: if the masks are not bool.
            ValueError: if shapes do not fit.
        """
        self.masks = check_masks(masks)
        self.shape = shape
        self._boxes = (
            _loose_boxes(self.masks) if boxes is None else _given_boxes(boxes, self.masks.shape)
        )
        height, width = self.masks.shape[1:]
        self._rows = nearest_pixels(height, shape[0]) if height != shape[0] else None
        self._columns = nearest_pixels(width, shape[1]) if width != shape[1] else None
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

    def crop(self, index: int) -> tuple[Crop, Mask] | None:
        """Return where mask `index` lies on the map and its pixels there, or None if it has none.

        Returns:
            the (rows, columns) slices of a box on the map that holds the whole mask, and the mask
            within it, (box height, box width) bool; for reading only.
        """
        top, bottom, left, right = self._boxes[index]
        mask = self.masks[index]
        if self._rows is None:
            mask = mask[top:bottom]
        else:
            first, last = np.searchsorted(self._rows, (top, bottom))
            mask = mask.take(self._rows[first:last], axis=0)
            top, bottom = int(first), int(last)
        if self._columns is None:
            mask = mask[:, left:right]
        else:
            first, last = np.searchsorted(self._columns, (left, right))
            mask = mask.take(self._columns[first:last], axis=1)
            left, right = int(first), int(last)
        if not mask.any():
            return None  # empty, or lost between the pixels of a smaller map
        return (slice(top, bottom), slice(left, right)), mask

    def _count(self) -> npt.NDArray[np.int64]:
        raw = self.masks.view(np.uint8)
        counts = [
            cv2.countNonZero(raw[i, top:bottom, left:right]) if bottom > top else 0
            for i, (top, bottom, left, right) in enumerate(self._boxes)
        ]
        return np.array(counts, dtype=np.int64)


def _loose_boxes(masks: Masks) -> list[tuple[int, int, int, int]]:
    """Return for each mask the (top, bottom, left, right) of a box that holds it.

    Rows are rounded to whole blocks, so that the stack is read only once, in long strides.
    """
    count, height, width = masks.shape
    if count == 0:
        return []
    whole = height - height % _BLOCK
    blocks = masks[:, :whole].view(np.uint8).reshape(count, whole // _BLOCK, _BLOCK, width)
    occupied = np.bitwise_or.reduce(blocks, axis=2)
    if whole < height:
        rest = np.bitwise_or.reduce(masks[:, whole:].view(np.uint8), axis=1)
        occupied = np.concatenate([occupied, rest[:, None]], axis=1)
    occupied = occupied.view(np.bool_)
    boxes = []
    for rows, columns in zip(occupied.any(axis=2), occupied.any(axis=1), strict=True):
        y, x = np.flatnonzero(rows), np.flatnonzero(columns)
        if len(y) == 0:
            boxes.append((0, 0, 0, 0))
            continue
        bottom = min((int(y[-1]) + 1) * _BLOCK, height)
        boxes.append((int(y[0]) * _BLOCK, bottom, int(x[0]), int(x[-1]) + 1))
    return boxes


def _given_boxes(boxes: npt.ArrayLike, shape: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """Turn (N, 4) x, y, width, height into (top, bottom, left, right) within the masks."""
    xywh = np.asarray(boxes, dtype=np.float64)
    if xywh.shape != (shape[0], 4):
        raise ValueError(
            f"boxes must have shape ({shape[0]}, 4), x, y, width, height of each mask, "
            f"got {xywh.shape}"
        )
    # Outwards to whole pixels, and one more: some generators report width as last minus first.
    left, top = np.floor(xywh[:, :2]).T
    right, bottom = np.ceil(xywh[:, :2] + xywh[:, 2:]).T + 1
    edges = np.stack([top, bottom, left, right], axis=1)
    limits = (shape[1], shape[1], shape[2], shape[2])
    return [(int(t), int(b), int(le), int(r)) for t, b, le, r in np.clip(edges, 0, limits)]


def nearest_pixels(source: int, target: int) -> npt.NDArray[np.intp]:
    """Return for each of `target` pixels the index that nearest-neighbour resizing reads.

    OpenCV itself is asked, because its rule is neither half-pixel centred nor the same in all
    its interpolations.
    """
    line = np.arange(source, dtype=np.float32)[None]
    picked: npt.NDArray[np.intp] = cv2.resize(line, (target, 1), interpolation=cv2.INTER_NEAREST)[
        0
    ].astype(np.intp)
    return picked
