"""Where the camera is, and where points and planes of the street land in its image.

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
NEAR_M = 0.4
"""Nothing nearer to the camera's plane than this is drawn."""


@dataclass(frozen=True)
class View:
    """One camera at one moment.

    Attributes:
        camera: intrinsics, for the size that is drawn.
        position: (3,) of the camera in the world, metres.
        rotation: (3, 3), takes directions of the optical frame (x right, y down, z forward) to
            the world.
    """

    camera: CameraModel
    position: Points
    rotation: Points

    @property
    def matrix(self) -> Points:
        """K, (3, 3)."""
        c = self.camera
        return np.array([[c.fx, 0, c.cx], [0, c.fy, c.cy], [0, 0, 1.0]])

    def project(self, points: Points) -> tuple[Points, Points]:
        """Return the pixels (N, 2) and depths (N,) of world points (N, 3).

        Pixels of points nearer than `NEAR_M`, or behind, mean nothing; ask their depth.
        """
        optical = (points - self.position) @ self.rotation
        depth = optical[:, 2]
        scaled = optical @ self.matrix.T
        return scaled[:, :2] / np.maximum(depth, NEAR_M)[:, None], depth

    def plane(self, origin: Points, along: Points, across: Points) -> Points:
        """Homography (3, 3) from (u, v) to pixels, for the plane origin + u along + v across."""
        columns = np.column_stack([along, across, origin - self.position])
        return np.asarray(self.matrix @ self.rotation.T @ columns)

    @property
    def horizon_row(self) -> float:
        """The image row where the ground ends, at the middle column."""
        forward = self.rotation[:, 2]
        c = self.camera
        return float(c.cy + c.fy * forward[2] / np.hypot(forward[0], forward[1]))


@dataclass(frozen=True)
class EgoMotion:
    """How the car drives: forward with small swings, the camera nodding and leaning a little.

    Attributes:
        speed: metres per second, on average; it varies by a tenth.
        lateral: metres left of the street's middle (traffic keeps left).
        pose: the mounted camera over a level road.
        phases: (6,) radians, of the six swings.
    """

    speed: float
    lateral: float
    pose: CameraPose
    phases: Points

    def travelled(self, time_s: float) -> float:
        """Metres along the street since the start."""
        swing = np.sin(0.35 * time_s + self.phases[0]) - np.sin(self.phases[0])
        return float(self.speed * (time_s + 0.1 * swing / 0.35))

    def view(self, time_s: float, camera: CameraModel) -> View:
        """The camera's view at a time, seconds from the start."""
        p = self.phases
        yaw = 0.010 * np.sin(0.6 * time_s + p[1]) + 0.003 * np.sin(2.3 * time_s + p[2])
        nod = 0.0035 * np.sin(8.2 * time_s + p[3]) + 0.002 * np.sin(3.1 * time_s + p[4])
        roll = 0.004 * np.sin(1.7 * time_s + p[5])
        lateral = self.lateral + 0.12 * np.sin(0.5 * time_s + p[1])
        height = self.pose.height + 0.012 * np.sin(8.2 * time_s + p[3] + 1.0)
        tilted = CameraPose(height, self.pose.pitch + nod, self.pose.roll + roll)
        turn = np.array(
            [[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1.0]]
        )
        return View(
            camera=camera,
            position=np.array([self.travelled(time_s), lateral, height]),
            rotation=turn @ tilted.matrix()[:3, :3],
        )
