"""Ground points of obstacles: intrinsics from CameraInfo, the pose from TF or parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo

from objectomaly_ros.geometry.camera_model import CameraModel
from objectomaly_ros.geometry.ground import (
    CameraPose,
    Transform,
    ground_points,
    nearest_contact,
    transform_from_quaternion,
)
from objectomaly_ros.obstacles.stage import Obstacles
from objectomaly_ros.ros.messages import Contact

try:
    import tf2_ros
except ImportError:  # not on PyPI
    tf2_ros = None

HUGE = 1e9  # pixels and coefficients of a calibration stay far below


class PoseSource:
    """Poses of cameras in the base frame: from TF, else from parameters."""

    def __init__(self, node: Node, values: Callable[[], Mapping[str, Any]]) -> None:
        self._values = values
        self._buffer = None
        if tf2_ros is not None:
            self._buffer = tf2_ros.Buffer(node=node)
            self._listener = tf2_ros.TransformListener(self._buffer, node)

    @property
    def base_frame(self) -> str:
        """Frame of the ground points."""
        return str(self._values()["points.base_frame"])

    @property
    def max_range(self) -> float:
        """Largest distance of ground points, in metres."""
        return float(self._values()["points.max_range"])

    def pose(self, frame_id: str, stamp: Any) -> CameraPose | Transform:
        """Return the pose of the camera with the optical frame `frame_id` at `stamp`."""
        if self._buffer is not None and frame_id:
            for time in (Time.from_msg(stamp), Time()):  # Time(): the latest known
                try:
                    found = self._buffer.lookup_transform(self.base_frame, frame_id, time)
                    move, turn = found.transform.translation, found.transform.rotation
                    return transform_from_quaternion(
                        (move.x, move.y, move.z), (turn.x, turn.y, turn.z, turn.w)
                    )
                except (tf2_ros.TransformException, ValueError):  # unknown, or never filled in
                    continue
        values = self._values()
        return CameraPose(
            values["points.camera_height"],
            values["points.camera_pitch"],
            values["points.camera_roll"],
        )


class CameraGeometry:
    """Projects the contact edges of one camera's obstacles onto the ground."""

    def __init__(self, topic: str, poses: PoseSource, warn: Callable[[str, str], None]) -> None:
        self._topic = topic
        self._poses = poses
        self._warn = warn
        self._info: CameraInfo | None = None
        self._model: CameraModel | None = None

    def take(self, info: CameraInfo) -> None:
        """Take a CameraInfo; warn of impossible ones."""
        if self._info is not None and self._same(info, self._info):
            return
        self._info = info
        try:
            if not (info.width and info.height):
                raise ValueError(f"its size is {info.width} x {info.height} pixels")
            if not all(abs(value) < HUGE for value in (*info.k, *info.d)):
                raise ValueError("its K or D holds values that no camera has")
            self._model = CameraModel.from_camera_info(
                info.k, info.d, info.distortion_model, width=info.width, height=info.height
            )
        except ValueError as error:
            self._model = None
            text = f"{self._topic}: {error}; ranges and points stay unknown"
            self._warn(f"info {self._topic}", text)

    def contacts(self, obstacles: Obstacles, header: Any) -> list[Contact] | None:
        """Return one contact for each obstacle; None without a CameraInfo.

        Args:
            obstacles: the obstacles of an image.
            header: header of the image.
        """
        if self._model is None:
            return None
        height, width = obstacles.mask.shape
        limit, contacts = self._poses.max_range, []
        try:
            model = self._model.resized(width, height)
            pose = self._poses.pose(header.frame_id, header.stamp)
            for region in obstacles.regions:
                points = ground_points(region.contact, model, pose, max_range=limit)
                nearest = nearest_contact(points)
                contacts.append(Contact(points, *nearest) if nearest else Contact(points))
        except (ValueError, ArithmeticError, cv2.error) as error:
            text = f"{self._topic} and the pose give no ranges: {error}"
            self._warn(f"contacts {self._topic}", text)
            return None
        return contacts

    @staticmethod
    def _same(a: CameraInfo, b: CameraInfo) -> bool:
        return (
            (a.width, a.height, a.distortion_model) == (b.width, b.height, b.distortion_model)
            and np.array_equal(a.k, b.k, equal_nan=True)
            and np.array_equal(a.d, b.d, equal_nan=True)
        )
