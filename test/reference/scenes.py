"""Random score maps and masks, to compare implementations with the published loops."""

import cv2
import numpy as np


def blobs(rng, count, height, width):
    """Return (count, height, width) bool masks: ellipses, rectangles, noise, empty and full."""
    masks = np.zeros((count, height, width), dtype=bool)
    for mask in masks:
        kind = rng.integers(0, 10)
        y, x = rng.integers(0, height), rng.integers(0, width)
        if kind < 5:
            axes = (int(rng.integers(0, width // 2 + 1)), int(rng.integers(0, height // 2 + 1)))
            canvas = np.zeros((height, width), np.uint8)
            cv2.ellipse(canvas, (int(x), int(y)), axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
            mask[:] = canvas > 0
        elif kind < 7:
            mask[y : y + rng.integers(1, height + 1), x : x + rng.integers(1, width + 1)] = True
        elif kind == 7:
            mask[:] = rng.random((height, width)) < 0.3
        elif kind == 8:
            mask[:] = True
    return masks


def with_ties(rng, masks):
    """Return `masks` with some repeated elsewhere by rolling, so that areas tie."""
    if len(masks) < 2:
        return masks
    tied = masks.copy()
    for index in range(1, len(masks), 3):
        shift = (int(rng.integers(0, masks.shape[1])), int(rng.integers(0, masks.shape[2])))
        tied[index] = np.roll(masks[index - 1], shift, axis=(0, 1))
    return tied


def rough_score(rng, height, width):
    """Return a (height, width) float32 map with smooth, noisy, negative and constant parts."""
    score = rng.normal(0.2, 0.3, (height, width)).astype(np.float32)
    if rng.random() < 0.5:
        score = cv2.GaussianBlur(score, (5, 5), 1.0)
    if rng.random() < 0.5:
        score[height // 2 :] = np.float32(rng.uniform(-1, 1))
    if rng.random() < 0.5:
        score = (np.round(score * 64) / 64).astype(np.float32)
    return np.ascontiguousarray(score)


def golden(path):
    """Return the arrays of a golden file, with `masks` unpacked."""
    with np.load(path) as data:
        arrays = {key: data[key] for key in data.files}
    shape = tuple(int(side) for side in arrays["masks_shape"])
    size = int(np.prod(shape))
    packed = np.unpackbits(arrays["masks_packed"], count=size) if size else np.zeros(0, np.uint8)
    arrays["masks"] = packed.astype(bool).reshape(shape)
    return arrays
