"""Places the obstacles of a camera: intrinsics from CameraInfo, the pose from TF or parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import CameraInfo

from objectomaly_ros.geometry.camera_info import Calibration, read_calibration
from objectomaly_ros.geometry.placement import Placement, place
from objectomaly_ros.geometry.uncertainty import Noise
from objectomaly_ros.geometry.view import View
from objectomaly_ros.obstacles.stage import Obstacles
from objectomaly_ros.ros.poses import FoundPose, PoseSource


class CameraGeometry:
    """Projects the contact edges of one camera's obstacles onto the ground.

    Args:
        topic: topic of the CameraInfo.
        poses: poses of the cameras.
        warn: takes a throttling key and the text.
        values: returns the node's parameters.
        image_topic: topic of the images.

    Attributes:
        blind: why the camera cannot see the ground; None if it can.
    """

    def __init__(
        self,
        topic: str,
        poses: PoseSource,
        warn: Callable[[str, str], None],
        values: Callable[[], Mapping[str, Any]],
        image_topic: str,
    ) -> None:
        self._topic = topic
        self._values = values
        self._image_topic = image_topic
        self._poses = poses
        self._warn = warn
        self._info: CameraInfo | None = None
        self._choice = ""
        self._calibration: Calibration | None = None
        self._unusable = f"no CameraInfo on {topic} yet"
        self._found: FoundPose | None = None
        self._fault: str | None = None
        self.blind: str | None = None

    @property
    def problem(self) -> str | None:
        """Why obstacles have no ranges; None if they have."""
        return self._unusable if self._calibration is None else self._fault or self.blind

    @property
    def origin(self) -> str:
        """Source of the newest pose, for diagnostics."""
        if self._calibration is None:
            return f"not used: {self._unusable}"
        return "not used yet" if self._found is None else self._found.origin

    @property
    def model(self) -> str:
        """Source of the camera model, for diagnostics."""
        return "none" if self._calibration is None else self._calibration.source

    def take(self, info: CameraInfo) -> None:
        """Take a CameraInfo; warn of impossible ones."""
        if self._info is None or not self._same(info, self._info):
            self._info = info
            self._read(info)

    def _read(self, info: CameraInfo) -> None:
        self._choice = self._values()["camera.rectified"]
        try:
            self._calibration = read_calibration(info, self._image_topic, self._choice)
        except ValueError as error:
            self._calibration = None
            self._unusable = f"{self._topic}: {error}"
            text = f"{self._unusable}; ranges and points stay unknown"
            self._warn(f"info {text}", text)  # one that is throttled would never come again

    def view(self, shape: tuple[int, int], header: Any) -> View | None:
        """Return how the camera sees the ground in an image; None without a usable CameraInfo.

        Args:
            shape: height and width of the image.
            header: of the image.
        """
        if self._info is not None and self._choice != self._values()["camera.rectified"]:
            self._read(self._info)
        calibration, (height, width) = self._calibration, shape
        if calibration is None:
            return None
        try:
            model = calibration.of_image(width, height)
            found = self._poses.pose(header.frame_id, header.stamp)
            view = View(model, found.transform, found.frame, found.origin)
            self._check(found, view, header.frame_id)
        except (ValueError, ArithmeticError) as error:
            self._failed(error)
            return None
        self._fault = None
        return view

    def place(
        self, obstacles: Obstacles, view: View, depth: npt.NDArray[np.float32] | None = None
    ) -> list[Placement] | None:
        """Return one placement for each obstacle; None if the camera's numbers allow none.

        Args:
            obstacles: of an image.
            view: of it.
            depth: of it in metres, of any size.
        """
        values = self._values()
        noise = Noise(*(values[f"points.{key}_std"] for key in ("height", "pitch", "pixel")))
        try:
            return place(
                obstacles.regions,
                view,
                depth,
                max_range=values["points.max_range"],
                max_relative_error=values["points.max_relative_error"],
                noise=noise,
            )
        except (ValueError, ArithmeticError) as error:
            self._failed(error)
            return None

    def _failed(self, error: Exception) -> None:
        self._fault = f"{self._topic} and the pose give no ranges: {error}"
        self._warn(f"view {self._topic}", self._fault)

    def _check(self, found: FoundPose, view: View, frame: str) -> None:
        """Warn of a pose that is not the camera's, once for each reason."""
        known = self._found.problem if self._found is not None else None
        self._found = found
        if found.problem not in (None, known):
            text = f"{self._topic}: {found.problem}"
            self._warn(f"pose {text}", text)
        if view.sees_ground:
            self.blind = None
            return
        ahead, height = view.transform[:3, 2], view.position[2]
        self.blind = (
            f"no ranges on {self._topic}: by {found.origin} the camera is {height:.2f} m "
            f"above the ground and looks along ({ahead[0]:.1f}, {ahead[1]:.1f}, {ahead[2]:.1f}) of "
            f"{found.frame}, z up. If {frame!r} is a body frame (x ahead), give the "
            "images the optical frame (z ahead, often named ..._optical_frame)"
        )
        self._warn(f"blind {self._topic}", self.blind)

    @staticmethod
    def _same(a: CameraInfo, b: CameraInfo) -> bool:
        return all(
            getattr(a, field) == getattr(b, field)
            for field in ("width", "height", "distortion_model", "binning_x", "binning_y", "roi")
        ) and all(
            np.array_equal(getattr(a, field), getattr(b, field), equal_nan=True) for field in "kdrp"
        )
