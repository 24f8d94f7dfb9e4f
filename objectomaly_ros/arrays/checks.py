"""Checks of images, score maps, masks and label maps, as every stage takes them."""

from __future__ import annotations

import numpy as np

from objectomaly_ros.types import Image, LabelMaps, Masks, ScoreMap

MAX_SCORE = 1e30
"""Scores are smaller, so that sums of float32 scores stay finite in OASC and MBP."""


def check_image(image: Image) -> Image:
    """Return `image`, an RGB image (H, W, 3) uint8.

    Raises:
        TypeError: it is no numpy array of uint8.
        ValueError: it has another shape, or no pixel.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = getattr(image, "dtype", type(image).__name__)
        raise TypeError(f"an image must be a numpy array (H, W, 3) of uint8, RGB; got {kind}")
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"an image must have shape (H, W, 3), RGB; got {image.shape}")
    return image


def check_score(score: ScoreMap) -> ScoreMap:
    """Return `score` as a contiguous (H, W) float32 map.

    Raises:
        TypeError: it does not hold floating-point numbers.
        ValueError: it is not two-dimensional, or has no pixel.
    """
    score = np.asarray(score)
    if not np.issubdtype(score.dtype, np.floating):
        raise TypeError(
            f"a score map must hold floating-point numbers, got {score.dtype}; "
            "convert it with score.astype(np.float32)"
        )
    if score.ndim != 2:
        raise ValueError(f"a score map must have shape (H, W), got {score.shape}")
    if score.size == 0:
        raise ValueError(f"a score map needs at least one pixel, got shape {score.shape}")
    return np.ascontiguousarray(score, dtype=np.float32)


def check_masks(masks: Masks) -> Masks:
    """Return `masks` as a contiguous (N, h, w) bool array.

    Raises:
        TypeError: they are not bool.
        ValueError: they are not three-dimensional, or have no pixel.
    """
    masks = np.asarray(masks)
    if masks.ndim != 3:
        raise ValueError(
            f"masks must have shape (N, h, w), got {masks.shape}; "
            "give a single mask as masks[None], and none as np.zeros((0, h, w), bool)"
        )
    if masks.dtype != np.bool_:
        raise TypeError(f"masks must be bool, got {masks.dtype}; convert them with masks > 0")
    if len(masks) and 0 in masks.shape[1:]:
        raise ValueError(f"masks need at least one pixel each, got shape {masks.shape}")
    return np.ascontiguousarray(masks)


def check_label_maps(label_maps: LabelMaps) -> LabelMaps:
    """Return `label_maps` as a contiguous (T, h, w) int32 array.

    Raises:
        TypeError: they are not integers.
        ValueError: they are not three-dimensional, have no pixel, or a label is below -1.
    """
    label_maps = np.asarray(label_maps)
    if not np.issubdtype(label_maps.dtype, np.integer):
        raise TypeError(f"label maps must hold integers, got {label_maps.dtype}")
    if label_maps.ndim != 3 or label_maps.size == 0:
        raise ValueError(
            f"label maps must have shape (T, h, w) with at least one pixel, got {label_maps.shape}"
        )
    if label_maps.min() < -1:
        raise ValueError(f"labels must be -1, for no region, or more; got {label_maps.min()}")
    return np.ascontiguousarray(label_maps, dtype=np.int32)
