"""Poses of cameras, from TF or from parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.time import Time

from objectomaly_ros.geometry.frames import base_frames
from objectomaly_ros.geometry.ground import CameraPose, Transform, transform_from_quaternion

try:
    import tf2_ros
except ImportError:  # not on PyPI
    tf2_ros = None

MAX_TOLD = 256  # camera frames; more are those of no robot


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
        self._told: dict[str, str] = {}  # camera frame -> base frame
        self._buffer: Any = None
        if tf2_ros is not None:
            self._buffer = tf2_ros.Buffer(node=node)
            self._listener = tf2_ros.TransformListener(self._buffer, node)

    def pose(self, frame_id: str, stamp: Any) -> FoundPose:
        """Return the pose of the camera with the optical frame `frame_id` at `stamp`."""
        if self._buffer is None:
            return self._of_parameters(frame_id, "tf2_ros is not installed")
        frame = frame_id.lstrip("/")
        if not frame:
            reason = "the images have no frame_id, so TF cannot tell their pose"
            return self._of_parameters(frame_id, reason)
        bases = base_frames(str(self._values()["points.base_frame"]), frame)
        for base in bases:
            transform = self.transform(base, frame, stamp)
            if transform is not None:
                return self._of_tf(transform, base, frame_id)
        return self._of_parameters(
            frame_id,
            f"TF has no transform from {frame!r} to {' or '.join(map(repr, bases))} "
            f"(ros2 run tf2_ros tf2_echo {bases[-1]} {frame} tells why)",
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
        self._tell_base(frame_id, base, f"by TF from {frame!r}")
        problem = None
        if frame != frame_id:
            problem = (
                f"frame_id {frame_id!r} begins with a slash, which TF refuses: {frame!r} taken"
            )
        return FoundPose(transform, base, f"TF {base} <- {frame}", problem)

    def _tell_base(self, frame_id: str, base: str, origin: str) -> None:
        """Log the base frame of a camera, once."""
        if self._told.get(frame_id) != base:
            if len(self._told) >= MAX_TOLD:
                self._told.clear()
            self._told[frame_id] = base
            self._tell(f"ranges and points are in the frame {base!r}, {origin}")

    def _known_base(self, frame_id: str) -> str:
        """Return the base frame of a camera that TF does not know."""
        bases = base_frames(str(self._values()["points.base_frame"]), frame_id.lstrip("/"))
        known = [base for base in bases if self.transform(base, base, Time().to_msg()) is not None]
        return (known or bases[-1:])[0]

    def _of_parameters(self, frame_id: str, reason: str) -> FoundPose:
        values = self._values()
        pose = CameraPose(*(values[f"points.camera_{key}"] for key in ("height", "pitch", "roll")))
        base = self._known_base(frame_id)
        self._tell_base(frame_id, base, "by the camera's parameters")
        origin = f"parameters: height {pose.height} m, pitch {pose.pitch}, roll {pose.roll} rad"
        return FoundPose(
            pose.matrix(),
            base,
            f"{origin} ({reason})",
            f"{reason}: the camera's pose is that of the {origin}. Publish the transform, or set "
            "points.camera_height, points.camera_pitch and points.camera_roll",
        )
