"""Places the obstacles of a camera: intrinsics from CameraInfo, the pose from TF or parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CameraInfo

from objectomaly_ros.geometry.camera_model import CameraModel
from objectomaly_ros.geometry.ground import Transform, ground_points
from objectomaly_ros.geometry.placement import Placement, place
from objectomaly_ros.geometry.view import View
from objectomaly_ros.obstacles.stage import Obstacles
from objectomaly_ros.ros.poses import FoundPose, PoseSource

HUGE = 1e9  # pixels and coefficients of a calibration stay far below
MAX_D = 100  # coefficients; the models have up to 14, and some drivers add zeros
NARROW = 0.01  # of the width: a shorter focal length is that of no lens, but of normalised units


STEEP = 0.7
"""A view direction with a larger part upwards is no road camera's, but a body frame's z axis."""


SHAPE_TOLERANCE = 0.03
"""An image of another shape than the calibrated one has other intrinsics."""


class CameraGeometry:
    """Projects the contact edges of one camera's obstacles onto the ground.

    Args:
        topic: topic of the CameraInfo.
        poses: poses of the cameras.
        warn: takes a throttling key and the text.
        rectified: the images are rectified, while the CameraInfo is that of the raw ones.

    Attributes:
        blind: why the camera cannot see the ground; None if it can.
    """

    def __init__(
        self,
        topic: str,
        poses: PoseSource,
        warn: Callable[[str, str], None],
        *,
        rectified: bool = False,
    ) -> None:
        self._topic = topic
        self._rectified = rectified
        self._poses = poses
        self._warn = warn
        self._info: CameraInfo | None = None
        self._model: CameraModel | None = None
        self._unusable = f"no CameraInfo on {topic} yet"
        self._found: FoundPose | None = None
        self._fault: str | None = None
        self.blind: str | None = None

    @property
    def problem(self) -> str | None:
        """Why obstacles have no ranges; None if they have."""
        return self._unusable if self._model is None else self._fault or self.blind

    @property
    def origin(self) -> str:
        """Source of the newest pose, for diagnostics."""
        if self._model is None:
            return f"not used: {self._unusable}"
        return "not used yet" if self._found is None else self._found.origin

    def take(self, info: CameraInfo) -> None:
        """Take a CameraInfo; warn of impossible ones."""
        if self._info is not None and self._same(info, self._info):
            return
        self._info = info
        try:
            if not (info.width and info.height):
                raise ValueError(
                    f"its size is {info.width} x {info.height} pixels: the camera's driver has no "
                    "calibration (often the parameter camera_info_url)"
                )
            _check_numbers(info)
            self._model = _model(info, self._rectified)
        except ValueError as error:
            self._model = None
            self._unusable = f"{self._topic}: {error}"
            text = f"{self._unusable}; ranges and points stay unknown"
            self._warn(f"info {text}", text)  # one that is throttled would never come again

    def view(self, shape: tuple[int, int], header: Any) -> View | None:
        """Return how the camera sees the ground in an image; None without a usable CameraInfo.

        Args:
            shape: height and width of the image.
            header: of the image.
        """
        if self._model is None:
            return None
        height, width = shape
        try:
            model = _seen_part(self._model, self._info, width, height).resized(width, height)
            found = self._poses.pose(header.frame_id, header.stamp)
            view = View(model, found.transform, found.frame, found.origin)
            self._check(found, view, header.frame_id)
        except (ValueError, ArithmeticError, cv2.error) as error:
            self._failed(error)
            return None
        self._fault = None
        return view

    def place(self, obstacles: Obstacles, view: View) -> list[Placement] | None:
        """Return one placement for each obstacle; None if the camera's numbers allow none."""
        try:
            return place(obstacles.regions, view, max_range=self._poses.max_range)
        except (ValueError, ArithmeticError, cv2.error) as error:
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
        *_, up = ahead = view.transform[:3, 2]
        height = view.position[2]
        if height > 0 and up <= STEEP and _sees_ground(view.model, view.transform):
            self.blind = None
            return
        self.blind = (
            f"no ranges on {self._topic}: by {found.origin} the camera is {height:.2f} m "
            f"above the ground and looks along ({ahead[0]:.1f}, {ahead[1]:.1f}, {up:.1f}) of "
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
            np.array_equal(getattr(a, field), getattr(b, field), equal_nan=True) for field in "kdp"
        )


def _check_numbers(info: CameraInfo) -> None:
    """Raise a ValueError on numbers that no camera has, though some look like those of one."""
    if len(info.d) > MAX_D:
        raise ValueError(f"its D holds {len(info.d)} coefficients")
    numbers = np.concatenate([info.k, info.d, info.p])
    if not (np.abs(numbers) < HUGE).all():  # or NaN
        raise ValueError("its K, D or P holds values that no camera has")
    if info.k[6] or info.k[7]:
        raise ValueError(
            f"its K is {[float(value) for value in info.k]}; K is fx 0 cx, 0 fy cy, 0 0 1, by rows"
        )
    if 0 < info.k[0] < NARROW * info.width:
        raise ValueError(
            f"its K has a focal length of {info.k[0]:g} for {info.width} pixels; K is in pixels"
        )
    roi = info.roi
    if roi.x_offset + roi.width > info.width or roi.y_offset + roi.height > info.height:
        raise ValueError(
            f"its roi, {roi.width} x {roi.height} from {roi.x_offset}, {roi.y_offset} on, reaches "
            f"outside of its {info.width} x {info.height} pixels, which are those of the sensor"
        )


def _model(info: CameraInfo, rectified: bool) -> CameraModel:
    """Return the camera of the full image, not binned and not cropped.

    The intrinsics of rectified images are in P, of the camera that rectification invents.
    """
    k, d = np.reshape(info.k, (3, 3)).copy(), info.d
    if rectified:
        p, d = np.reshape(info.p, (3, 4)), ()
        k = p[:, :3].copy() if p[0, 0] > 0 else k
    for row, binning, size in ((0, info.binning_x, info.width), (1, info.binning_y, info.height)):
        # Some drivers publish K of the binned image beside the size of the full one.
        if binning > 1 and abs(k[row, 2] * binning / size - 0.5) < abs(k[row, 2] / size - 0.5):
            k[row] *= binning
    return CameraModel.from_camera_info(
        k, d, info.distortion_model, width=info.width, height=info.height
    )


def _seen_part(model: CameraModel, info: Any, width: int, height: int) -> CameraModel:
    """Return the model of the part of the sensor that an image of `width` x `height` shows."""
    roi = info.roi
    if roi.width and roi.height and width <= roi.width and height <= roi.height:
        model = model.cropped(roi.x_offset, roi.y_offset, roi.width, roi.height)
    if abs(width * model.height / (height * model.width) - 1) > SHAPE_TOLERANCE:
        raise ValueError(
            f"images of {width} x {height} are no smaller copy of the {model.width} x "
            f"{model.height} that the camera was calibrated at: calibrate it at their size"
        )
    return model


def _sees_ground(model: CameraModel, transform: Transform) -> bool:
    x, y = np.meshgrid(np.linspace(0, model.width - 1, 3), np.linspace(0, model.height - 1, 3))
    pixels = np.column_stack([x.ravel(), y.ravel()])
    return len(ground_points(pixels, model, transform, max_range=np.inf)) > 0
