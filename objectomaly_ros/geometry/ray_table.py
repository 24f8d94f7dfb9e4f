"""Viewing rays of a distorting lens by interpolation, fast enough for every frame."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from objectomaly_ros.geometry.camera_model import CameraModel

NODES = 160
"""Nodes along the longer side of the image: errors stay below 0.05 px at a width of 640."""


@lru_cache(maxsize=64)
def ray_table(model: CameraModel) -> RayTable:
    """Return the table of a camera, made once for each camera."""
    return RayTable(model)


class RayTable:
    """Rays of a grid over the image, interpolated bilinearly between its nodes."""

    def __init__(self, model: CameraModel) -> None:
        self._step = max(model.width, model.height) / NODES
        size = np.array([model.width, model.height])
        self._last = np.ceil(size / self._step).astype(np.int64)  # nodes but one
        x, y = (np.arange(count + 1) * self._step - 0.5 for count in self._last)
        grid = np.stack(np.meshgrid(x, y), axis=-1)
        self._rays = model.rays(grid.reshape(-1, 2)).reshape(len(y), len(x), 3)

    def rays(self, pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the rays of pixels, (M, 2) x, y; see `CameraModel.rays`."""
        place = (pixels + 0.5) / self._step
        node = np.clip(place.astype(np.int64), 0, self._last - 1)
        (x, y), (right, down) = node.T, (place - node).T[:, :, None]
        rays = self._rays
        upper = rays[y, x] + right * (rays[y, x + 1] - rays[y, x])
        lower = rays[y + 1, x] + right * (rays[y + 1, x + 1] - rays[y + 1, x])
        return np.asarray(upper + down * (lower - upper))
