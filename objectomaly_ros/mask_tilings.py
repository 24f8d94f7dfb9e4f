"""Masks as tilings: thousands of regions in a few label maps."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import find_objects

from objectomaly_ros.types import Masks, Tilings


def masks_of(tilings: Tilings) -> Masks:
    """Return a mask for every region, (N, h, w) bool, tiling after tiling, by label."""
    boxes = [
        (tiling, label, box)
        for tiling in tilings
        for label, box in enumerate(find_objects(tiling + 1))  # it takes 0 for background
        if box is not None
    ]
    masks = np.zeros((len(boxes), *tilings.shape[1:]), dtype=np.bool_)
    for mask, (tiling, label, box) in zip(masks, boxes, strict=True):
        mask[box] = tiling[box] == label
    return masks
