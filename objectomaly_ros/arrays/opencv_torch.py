"""OpenCV's resizing and BORDER_REFLECT_101 on torch tensors."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch

from objectomaly_ros.arrays.mask_stack import nearest_pixels


def resize_map(values: torch.Tensor, size: tuple[int, int], interpolation: int) -> torch.Tensor:
    """Resize a map as `cv2.resize` does, within 1e-6 for maps about 1.

    Every pixel of the result is a weighted sum over rows and columns, so resizing is a product with
    two matrices, which OpenCV gives once for each size. On a GPU this is faster than a copy to the
    host; on a CPU it takes some ten times as long as OpenCV.

    Args:
        values: (H, W) float32, finite: NaN would spread along its row and column.
        size: height and width of the result.
        interpolation: `cv2.INTER_LINEAR` or `cv2.INTER_AREA`.

    Returns:
        (height, width) float32; `values` itself if it has that size.
    """
    shape = values.shape[0], values.shape[1]
    if shape == size:
        return values
    # If one side grows, OpenCV does not average over areas on the other side either.
    grows = size[0] > shape[0] or size[1] > shape[1]
    rows, columns = (
        _weights(source, target, interpolation, grows, values.device)
        for source, target in zip(shape, size, strict=True)
    )
    return rows @ values @ columns.T


def resize_nearest(masks: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize (N, h, w) masks to `size` as `cv2.INTER_NEAREST` does; may return `masks` itself."""
    for axis, length in enumerate(size, start=1):
        if masks.shape[axis] != length:
            pixels = _nearest(masks.shape[axis], length, masks.device)
            masks = masks.index_select(axis, pixels)
    return masks


@lru_cache(maxsize=32)
def _nearest(source: int, target: int, device: torch.device) -> torch.Tensor:
    """Return (target,) int64; cached, because the host waits for copies to a device."""
    return torch.from_numpy(nearest_pixels(source, target)).to(device)


@lru_cache(maxsize=16)
def _weights(
    source: int, target: int, interpolation: int, grows: bool, device: torch.device
) -> torch.Tensor:
    """Return (target, source) float32: the weight of each source pixel in each target pixel."""
    lines = np.eye(source, dtype=np.float32)
    if not grows:
        weights = cv2.resize(lines, (source, target), interpolation=interpolation)
    else:  # make the other side grow too: each column becomes two
        lines = np.repeat(lines, 2, axis=1)
        weights = cv2.resize(lines, (4 * source, target), interpolation=interpolation)[:, 1::4]
    return torch.from_numpy(np.ascontiguousarray(weights)).to(device)


def reflect(values: torch.Tensor, margin: int, axis: int) -> torch.Tensor:
    """Extend both ends of an axis by `margin`, mirrored without repeating the border.

    Unlike in `torch.nn.functional.pad`, the axis may be shorter than the margin.
    """
    return values.index_select(axis, _reflected(values.shape[axis], margin, values.device))


@lru_cache(maxsize=32)
def _reflected(length: int, margin: int, device: torch.device) -> torch.Tensor:
    """Return (length + 2 margin,) int64; cached as `_nearest` is."""
    return torch.from_numpy(np.pad(np.arange(length), margin, mode="reflect")).to(device)
