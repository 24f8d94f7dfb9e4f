"""Adds lens and sensor of a dashboard camera, and brings labels to its resolution."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.types import Image

IGNORE = 255


class Sensor:
    """Turns a clean, larger picture into a frame of a cheap camera; the same for a seed.

    Args:
        width: of the frame, pixels.
        height: of the frame, pixels.
        seed: of the noise.
    """

    def __init__(self, width: int, height: int, seed: int) -> None:
        self._size = (width, height)
        self._seed = seed
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        radius = np.hypot((columns / width - 0.5) * 1.6, rows / height - 0.5)
        self._vignette = (1 - 0.22 * radius**2)[..., None]
        rng = np.random.default_rng([seed, 99])
        grey = rng.normal(0, 2.0, (height, width, 1))
        tint = rng.normal(0, 2.6, (height // 2 + 1, width // 2 + 1, 3)).astype(np.float32)
        coarse = cv2.resize(tint, (width, height))
        self._noise = (grey + coarse).astype(np.float32)

    def expose(self, picture: Image, index: int) -> Image:
        """Return frame number `index`, made of a clean picture of any larger size."""
        frame = cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA)
        frame = cv2.GaussianBlur(frame, (0, 0), 0.55).astype(np.float32)
        glare = cv2.GaussianBlur(np.maximum(frame - 190, 0), (0, 0), 9.0)
        frame = (frame + 0.35 * glare) * self._vignette
        level = frame / 255
        frame = 255 * np.clip(level * (0.86 + 0.22 * level), 0, 1)  # contrast
        rng = np.random.default_rng([self._seed, index])
        shift = rng.integers(0, min(self._size), 2)
        noise = np.roll(self._noise, tuple(int(v) for v in shift), axis=(0, 1))
        frame = frame + noise * (0.7 + 0.5 * np.sqrt(np.clip(level, 0, 1)))
        raw = np.clip(frame, 0, 255).astype(np.uint8)
        _, packed = cv2.imencode(".jpg", raw, [cv2.IMWRITE_JPEG_QUALITY, 88])
        return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)


def reduce_ids(
    ids: npt.NDArray[np.uint8], width: int, height: int, band_px: int = 2
) -> npt.NDArray[np.uint8]:
    """Bring object ids to the frame's resolution, unsure pixels as 255.

    Args:
        ids: (H, W) uint8 of a multiple of the frame's size; 0 is no object.
        width: of the frame.
        height: of the frame.
        band_px: width of the unsure band around an object.

    Returns:
        (height, width) uint8: 0, an object's id, or 255.
    """
    factor = ids.shape[0] // height
    parts = [ids[i::factor, j::factor] for i in range(factor) for j in range(factor)]
    result = np.maximum.reduce(parts)
    covered = sum((part > 0).astype(np.uint8) for part in parts)
    solid = np.where(2 * covered >= factor * factor, result, 0).astype(np.uint8)
    kernel = np.ones((2 * band_px + 1,) * 2, np.uint8)
    near = cv2.dilate(result, kernel)
    solid[(solid == 0) & (near > 0)] = IGNORE
    return solid
