"""The one form of image that detectors and mask generators take."""

from __future__ import annotations

import numpy as np

from objectomaly_ros.types import Image


def check_image(image: Image, taker: str = "a detector") -> None:
    """Raise a ValueError unless `image` is an array (H, W, 3) uint8 with H and W at least 1.

    Args:
        image: to be checked.
        taker: who takes it, for the message.
    """
    if not isinstance(image, np.ndarray):
        raise ValueError(
            f"{taker} takes an RGB image, a numpy array (H, W, 3) uint8; got a "
            f"{type(image).__name__}"
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(
            f"{taker} takes an RGB image, (H, W, 3) uint8; got {image.shape} {image.dtype}"
        )
