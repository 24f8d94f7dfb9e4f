"""Poses of cameras, from TF or from parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.time import Time

from objectomaly_ros.geometry.frames import AUTO, LINK, base_frames
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
    """Poses of cameras in the base frame: from TF, else from parameters.

    Args:
        node: of the TF subscriptions.
        values: returns the node's parameters.
        tell: takes a line for the log.
    """

    def __init__(
        self,
        node: Node,
        values: Callable[[], Mapping[str, Any]],
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._values = values
        self._tell = tell
        self._told: str | None = None
        self._buffer: Any = None
        if tf2_ros is not None:
            self._buffer = tf2_ros.Buffer(node=node)
            self._listener = tf2_ros.TransformListener(self._buffer, node)

    def pose(self, frame_id: str, stamp: Any) -> FoundPose:
        """Return the pose of the camera with the optical frame `frame_id` at `stamp`."""
        if self._buffer is None:
            return self._of_parameters("tf2_ros is not installed")
        frame = frame_id.lstrip("/")
        if not frame:
            return self._of_parameters("the images have no frame_id, so TF cannot tell their pose")
        bases = base_frames(str(self._values()["points.base_frame"]), frame)
        for base in bases:
            transform = self.transform(base, frame, stamp)
            if transform is not None:
                return self._of_tf(transform, base, frame_id)
        return self._of_parameters(
            f"TF has no transform from {frame!r} to {' or '.join(map(repr, bases))} "
            f"(ros2 run tf2_ros tf2_echo {bases[-1]} {frame} tells why)"
        )

    def transform(self, target: str, source: str, stamp: Any) -> Transform | None:
        """Return the transform to frame `target` from `source` at `stamp`; None if TF has none."""
        if self._buffer is None:
            return None
        for time in (Time.from_msg(stamp), Time()):  # Time(): the latest known
            try:
                found = self._buffer.lookup_transform(target, source, time)
                move, turn = found.transform.translation, found.transform.rotation
                return transform_from_quaternion(
                    (move.x, move.y, move.z), (turn.x, turn.y, turn.z, turn.w)
                )
            except (tf2_ros.TransformException, ValueError):  # unknown, or never filled in
                continue
        return None

    def _of_tf(self, transform: Transform, base: str, frame_id: str) -> FoundPose:
        frame = frame_id.lstrip("/")
        if self._told != base:
            self._told = base
            self._tell(f"ranges and points are in the frame {base!r}, by TF from {frame!r}")
        problem = None
        if frame != frame_id:
            problem = (
                f"frame_id {frame_id!r} begins with a slash, which TF refuses: {frame!r} taken"
            )
        return FoundPose(transform, base, f"TF {base} <- {frame}", problem)

    def _of_parameters(self, reason: str) -> FoundPose:
        values = self._values()
        pose = CameraPose(*(values[f"points.camera_{key}"] for key in ("height", "pitch", "roll")))
        wanted = str(values["points.base_frame"])
        base = LINK if wanted == AUTO else wanted
        if self._told != base:
            self._told = base
            self._tell(f"ranges and points are in the frame {base!r}, by the camera's parameters")
        origin = f"parameters: height {pose.height} m, pitch {pose.pitch}, roll {pose.roll} rad"
        return FoundPose(
            pose.matrix(),
            base,
            f"{origin} ({reason})",
            f"{reason}: the camera's pose is that of the {origin}. Publish the transform, or set "
            "points.camera_height, points.camera_pitch and points.camera_roll",
        )
