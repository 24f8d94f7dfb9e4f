"""Label maps: thousands of regions in a few arrays."""

from __future__ import annotations

import numpy as np

from objectomaly_ros.types import LabelMaps, Masks


def masks_of(label_maps: LabelMaps) -> Masks:
    """Return a mask for every region, (N, h, w) bool, one label map after the other, by label."""
    from scipy.ndimage import find_objects  # loads slowly, and the node does without

    boxes = [
        (label_map, label, box)
        for label_map in label_maps
        for label, box in enumerate(find_objects(label_map + 1))  # 0 is background to SciPy
        if box is not None
    ]
    masks = np.zeros((len(boxes), *label_maps.shape[1:]), dtype=np.bool_)
    for mask, (label_map, label, box) in zip(masks, boxes, strict=True):
        mask[box] = label_map[box] == label
    return masks
