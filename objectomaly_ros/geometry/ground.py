"""From pixels to metres: contact edges projected onto the ground plane.

Frames as in REP-103: the base frame has x forward, y left, z up and its ground is z = 0; the
optical frame has x right, y down, z forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from objectomaly_ros.geometry.camera_model import CameraModel

Transform: TypeAlias = npt.NDArray[np.float64]
"""(4, 4) float64, homogeneous: takes points of the camera's optical frame to the base frame."""

MAX_RANGE_M = 100.0
"""Points farther away are dropped: near the horizon one row of pixels spans tens of metres."""

_BODY_FROM_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


@dataclass(frozen=True)
class CameraPose:
    """Pose of a camera over the ground, for vehicles without a TF tree.

    The base frame's origin is the ground point under the camera; its x axis is the camera's view
    direction, seen from above.

    Attributes:
        height: metres above the ground.
        pitch: radians about the y (left) axis: positive looks down.
        roll: radians about the x (forward) axis: positive leans to the right, and the image's
            content turns left.
    """

    height: float
    pitch: float = 0.0
    roll: float = 0.0

    def __post_init__(self) -> None:
        if not (self.height > 0 and np.isfinite([self.height, self.pitch, self.roll]).all()):
            raise ValueError(
                f"camera height {self.height} m, pitch {self.pitch}, roll {self.roll}: "
                "the height must be above 0 and the angles finite (radians)"
            )

    def matrix(self) -> Transform:
        """Return the transform from the optical to the base frame."""
        sin_p, cos_p = np.sin(self.pitch), np.cos(self.pitch)
        sin_r, cos_r = np.sin(self.roll), np.cos(self.roll)
        about_y = np.array([[cos_p, 0, sin_p], [0, 1, 0], [-sin_p, 0, cos_p]])
        about_x = np.array([[1, 0, 0], [0, cos_r, -sin_r], [0, sin_r, cos_r]])
        result = np.eye(4)
        result[:3, :3] = about_y @ about_x @ _BODY_FROM_OPTICAL
        result[2, 3] = self.height
        return result


def transform_from_quaternion(translation: npt.ArrayLike, quaternion: npt.ArrayLike) -> Transform:
    """Return the transform of TF's translation and rotation, `base_frame` <- optical frame.

    Args:
        translation: x, y, z in metres.
        quaternion: x, y, z, w; normalised here.

    Raises:
        ValueError: the quaternion is zero.
    """
    x, y, z, w = np.asarray(quaternion, np.float64)
    norm = x * x + y * y + z * z + w * w
    if not norm > 0:
        raise ValueError("the transform's quaternion is zero: its publisher never set it")
    s = 2 / norm
    result = np.eye(4)
    result[:3, :3] = [
        [1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
        [s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)],
        [s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)],
    ]
    result[:3, 3] = np.asarray(translation, np.float64)
    return result


def ground_points(
    pixels: npt.ArrayLike,
    camera: CameraModel,
    pose: CameraPose | Transform,
    *,
    max_range: float = MAX_RANGE_M,
) -> npt.NDArray[np.float32]:
    """Project pixels onto the ground plane z = 0 of the base frame.

    Args:
        pixels: (M, 2) x, y; contact edges only (`extraction.contact_edge`).
        camera: the intrinsics, at the resolution of the pixels (`CameraModel.resized`).
        pose: height and angles, or any transform from the optical to the base frame.
        max_range: points farther than this along the ground, in metres, are dropped.

    Returns:
        (K, 3) float32 x, y, 0 in metres, K <= M, in order, none NaN. Pixels at or above the
        horizon, behind the camera or beyond `max_range` are dropped.
    """
    transform = pose.matrix() if isinstance(pose, CameraPose) else np.asarray(pose, np.float64)
    if transform.shape != (4, 4):
        raise ValueError(f"the pose is {transform.shape}; give a CameraPose or a (4, 4) transform")
    origin = transform[:3, 3]
    directions = camera.rays(pixels) @ transform[:3, :3].T
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = -origin[2] / directions[:, 2]
        points = origin + distance[:, None] * directions
        ahead = (distance > 0) & (np.hypot(points[:, 0], points[:, 1]) <= max_range)
    points[:, 2] = 0.0
    return np.asarray(points[ahead], np.float32)
