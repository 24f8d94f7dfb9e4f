"""A drawn image to time models on."""

from __future__ import annotations

import numpy as np

from objectomaly_ros.types import Image


def draw_street(height: int, width: int) -> Image:
    """Return gradients, rectangles and noise, (height, width, 3) RGB uint8; sides at least 40."""
    random = np.random.default_rng(11)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    image = np.stack([60 + 120 * x, 50 + 130 * y, 90 + 60 * np.sin(6 * (x + 2 * y))], -1)
    for _ in range(40):
        top, left = random.integers(0, height), random.integers(0, width)
        tall, wide = random.integers(height // 40, height // 4, 2)
        image[top : top + tall, left : left + wide] = random.integers(0, 256, 3)
    noisy = image + random.normal(0, 6, image.shape)
    return np.clip(noisy, 0, 255).round().astype(np.uint8)
