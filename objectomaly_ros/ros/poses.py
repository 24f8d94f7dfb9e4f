"""Poses of cameras, from TF or from parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.time import Time

from objectomaly_ros.geometry.ground import CameraPose, Transform, transform_from_quaternion

try:
    import tf2_ros
except ImportError:  # not on PyPI
    tf2_ros = None


@dataclass(frozen=True)
class FoundPose:
    """Pose of a camera.

    Attributes:
        transform: optical frame to base frame.
        frame: the base frame.
        origin: source of the pose, for diagnostics.
        problem: why the pose may be wrong; None if it is as it should be.
    """

    transform: Transform
    frame: str
    origin: str
    problem: str | None = None


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

    def pose(self, frame_id: str, stamp: Any) -> FoundPose:
        """Return the pose of the camera with the optical frame `frame_id` at `stamp`."""
        if self._buffer is None:
            return self._of_parameters("tf2_ros is not installed")
        frame, base = frame_id.lstrip("/"), self.base_frame
        if not frame:
            return self._of_parameters("the images have no frame_id, so TF cannot tell their pose")
        for time in (Time.from_msg(stamp), Time()):  # Time(): the latest known
            try:
                found = self._buffer.lookup_transform(base, frame, time)
                move, turn = found.transform.translation, found.transform.rotation
                transform = transform_from_quaternion(
                    (move.x, move.y, move.z), (turn.x, turn.y, turn.z, turn.w)
                )
            except (tf2_ros.TransformException, ValueError):  # unknown, or never filled in
                continue
            problem = None
            if frame != frame_id:
                problem = (
                    f"frame_id {frame_id!r} begins with a slash, which TF refuses: {frame!r} taken"
                )
            return FoundPose(transform, base, f"TF {base} <- {frame}", problem)
        return self._of_parameters(
            f"TF has no transform from {frame!r} to {base!r} "
            f"(ros2 run tf2_ros tf2_echo {base} {frame} tells why)"
        )

    def _of_parameters(self, reason: str) -> FoundPose:
        values = self._values()
        pose = CameraPose(*(values[f"points.camera_{key}"] for key in ("height", "pitch", "roll")))
        origin = f"parameters: height {pose.height} m, pitch {pose.pitch}, roll {pose.roll} rad"
        return FoundPose(
            pose.matrix(),
            self.base_frame,
            f"{origin} ({reason})",
            f"{reason}: the camera's pose is that of the {origin}. Publish the transform, or set "
            "points.camera_height, points.camera_pitch and points.camera_roll",
        )
