"""The camera's way, the projection of points and planes into its image, and the canvas.

World frame: x along the street, y left, z up, metres; the ground is z = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from objectomaly_ros.geometry.camera_model import CameraModel
from objectomaly_ros.geometry.ground import CameraPose

Points: TypeAlias = npt.NDArray[np.float64]
Ids: TypeAlias = npt.NDArray[np.uint8]
HAZE = np.array([218, 226, 232.0])
_HAZE_M = 420.0
NEAR_M = 0.4  # what is nearer to the camera's plane is not drawn


def turn_about_z(heading: float) -> Points:
    """Return the rotation (3, 3) by `heading` radians about the vertical."""
    c, s = np.cos(heading), np.sin(heading)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


@dataclass(frozen=True)
class View:
    """A camera at one moment.

    Attributes:
        camera: intrinsics of the drawn size.
        position: (3,) in the world, metres.
        rotation: (3, 3) from the optical frame (x right, y down, z forward) to the world.
    """

    camera: CameraModel
    position: Points
    rotation: Points

    @property
    def matrix(self) -> Points:
        """The intrinsics K, (3, 3)."""
        c = self.camera
        return np.array([[c.fx, 0, c.cx], [0, c.fy, c.cy], [0, 0, 1.0]])

    def project(self, points: Points) -> tuple[Points, Points]:
        """Return the pixels (N, 2) and depths (N,) of world points (N, 3).

        Pixels of points nearer than `NEAR_M`, or behind, are meaningless.
        """
        optical = (points - self.position) @ self.rotation
        depth = optical[:, 2]
        scaled = optical @ self.matrix.T
        return scaled[:, :2] / np.maximum(depth, NEAR_M)[:, None], depth

    def plane(self, origin: Points, along: Points, across: Points) -> Points:
        """Return the homography (3, 3) from (u, v) of origin + u along + v across to pixels."""
        columns = np.column_stack([along, across, origin - self.position])
        return np.asarray(self.matrix @ self.rotation.T @ columns)

    @property
    def horizon_row(self) -> float:
        """The row of the horizon at the middle column."""
        forward = self.rotation[:, 2]
        c = self.camera
        return float(c.cy + c.fy * forward[2] / np.hypot(forward[0], forward[1]))


@dataclass(frozen=True)
class EgoMotion:
    """The motion of the car: forward with small swings, and the camera nods and rolls a little.

    Attributes:
        speed: mean, metres per second; it varies by a tenth.
        lateral: metres left of the street's middle (traffic keeps left).
        pose: the mounted camera over a level road.
        phases: (6,) of the six swings, radians.
    """

    speed: float
    lateral: float
    pose: CameraPose
    phases: Points

    def travelled(self, time_s: float) -> float:
        """Return the metres along the street since the start."""
        swing = np.sin(0.35 * time_s + self.phases[0]) - np.sin(self.phases[0])
        return float(self.speed * (time_s + 0.1 * swing / 0.35))

    def view(self, time_s: float, camera: CameraModel) -> View:
        """Return the camera's view at a time in seconds from the start."""
        p = self.phases
        yaw = 0.010 * np.sin(0.6 * time_s + p[1]) + 0.003 * np.sin(2.3 * time_s + p[2])
        nod = 0.0035 * np.sin(8.2 * time_s + p[3]) + 0.002 * np.sin(3.1 * time_s + p[4])
        roll = 0.004 * np.sin(1.7 * time_s + p[5])
        lateral = self.lateral + 0.12 * np.sin(0.5 * time_s + p[1])
        height = self.pose.height + 0.012 * np.sin(8.2 * time_s + p[3] + 1.0)
        tilted = CameraPose(height, self.pose.pitch + nod, self.pose.roll + roll)
        position = np.array([self.travelled(time_s), lateral, height])
        return View(camera, position, turn_about_z(yaw) @ tilted.matrix()[:3, :3])


@dataclass(frozen=True)
class Canvas:
    """The frame so far: `image` (H, W, 3) uint8 RGB, `ids` (H, W) uint8 of unknown objects."""

    image: npt.NDArray[np.uint8]
    ids: Ids


def haze_share(depth: float) -> float:
    """Return how much the air hides at a depth in metres, 0..1."""
    return float(1 - np.exp(-max(0.0, depth) / _HAZE_M))
