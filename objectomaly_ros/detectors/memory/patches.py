"""Patches: what the encoder sees at the places of a grid of stride 16, as unit vectors."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def patches(features8: Floats, features16: Floats) -> Floats:
    """Return the patches of an image.

    The finer features are averaged over the cell, the coarser ones over 3x3 cells. Of both, the
    direction counts alone: light and contrast change the length first.

    Args:
        features8: (C, h, w) at stride 8.
        features16: (D, ceil(h / 2), ceil(w / 2)) at stride 16.

    Returns:
        (rows, columns, C + D) float32, of length 1, the stride 16 features' grid.
    """
    rows, columns = features16.shape[1:]
    height, width = features8.shape[1:]
    fine = np.pad(features8, ((0, 0), (0, 2 * rows - height), (0, 2 * columns - width)), "edge")
    fine = fine.reshape(len(fine), rows, 2, columns, 2).mean((2, 4))
    coarse = np.ascontiguousarray(features16.transpose(1, 2, 0))
    smooth = np.asarray(cv2.blur(coarse, (3, 3), borderType=cv2.BORDER_REPLICATE), np.float32)
    parts = [_unit(fine.transpose(1, 2, 0)), _unit(smooth)]
    return np.concatenate(parts, axis=2) * np.float32(np.sqrt(0.5))


def _unit(vectors: Floats) -> Floats:
    length = np.sqrt(np.einsum("rcd,rcd->rc", vectors, vectors))[..., None]
    return np.asarray(vectors / np.maximum(length, 1e-6), np.float32)
