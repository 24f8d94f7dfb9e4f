"""How a camera sees the ground in one image: intrinsics and pose together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from objectomaly_ros.geometry.camera_model import CameraModel
from objectomaly_ros.geometry.ground import Transform
from objectomaly_ros.geometry.ray_table import ray_table

STEEP = 0.7
"""A view direction with a larger part upwards is no road camera's, but a body frame's z axis."""


@dataclass(frozen=True, eq=False)
class View:
    """Intrinsics and pose of one image.

    Attributes:
        model: the intrinsics at the resolution of the image.
        transform: optical frame to base frame, (4, 4).
        frame: name of the base frame.
        origin: source of the pose, for diagnostics.
    """

    model: CameraModel
    transform: Transform
    frame: str = ""
    origin: str = ""

    @property
    def position(self) -> npt.NDArray[np.float64]:
        """Position x, y, z of the camera in the base frame."""
        return self.transform[:3, 3]

    @property
    def axis(self) -> npt.NDArray[np.float64]:
        """Direction in the base frame of the image's optical axis, along which depth runs."""
        turn = self.model.rotation
        axis = (0.0, 0.0, 1.0) if turn is None else turn[6:]
        return np.asarray(self.transform[:3, :3] @ axis)

    @property
    def sees_ground(self) -> bool:
        """Whether ranges mean something: the camera is above the ground and looks at some of it."""
        if not (self.position[2] > 0 and self.transform[2, 2] <= STEEP):
            return False
        size = (self.model.width - 1, self.model.height - 1)
        x, y = np.meshgrid(*(np.linspace(0, last, 3) for last in size))
        return bool((self.directions(np.column_stack([x.ravel(), y.ravel()]))[:, 2] < 0).any())

    def directions(self, pixels: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the directions of pixels, (M, 2) x, y, in the base frame.

        Returns:
            (M, 3) float64 of any length; NaN for pixels without an inverse of the lens model.
        """
        model, places = self.model, np.asarray(pixels, np.float64)
        rays = model.rays(places) if model.is_pinhole else ray_table(model).rays(places)
        return rays @ self.transform[:3, :3].T
