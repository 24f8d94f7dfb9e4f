"""Reads the camera model of an image out of its CameraInfo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from objectomaly_ros.geometry.camera_model import CameraModel

HUGE = 1e9  # pixels and coefficients of a calibration stay far below
MAX_D = 100  # coefficients; the models have up to 14, and some drivers add zeros
NARROW = 0.01  # of the width: a shorter focal length is that of no lens, but of normalised units

SHAPE_TOLERANCE = 0.03
"""An image of another shape than the calibrated one has other intrinsics."""

_RECTIFIED = {"rect", "rectified", "undistorted"}

Window = tuple[int, int, int, int]
"""Part of an image: x, y, width, height in pixels."""


@dataclass(frozen=True)
class Calibration:
    """What a CameraInfo says about the images that come with it.

    Attributes:
        model: camera of the full image, not binned and not cropped.
        window: part of it that was captured; None for all.
        binning: pixels of the full image for one of the captured image, x and y.
        source: which matrix was taken and why, for diagnostics.
    """

    model: CameraModel
    window: Window | None
    binning: tuple[int, int]
    source: str

    def of_image(self, width: int, height: int) -> CameraModel:
        """Return the model of an image of this size, binned, cropped or resized.

        Raises:
            ValueError: it is no copy of what was captured.
        """
        whole = (0, 0, self.model.width, self.model.height)
        windows = [whole] if self.window is None else [self.window, whole]
        for dx, dy in (self.binning, (1, 1)):
            for x, y, w, h in windows:
                if (w // dx, h // dy) == (width, height):
                    part = self.model.cropped(x, y, width * dx, height * dy)
                    return part.resized(width, height)
        for window in windows:
            if abs(width * window[3] / (height * window[2]) - 1) <= SHAPE_TOLERANCE:
                return self.model.cropped(*window).resized(width, height)
        raise ValueError(
            f"images of {width} x {height} are no smaller copy of the {windows[0][2]} x "
            f"{windows[0][3]} that the camera was calibrated at: calibrate it at their size"
        )


def is_rectified(topic: str) -> bool:
    """Return whether a topic has the name of rectified images, such as image_rect_color."""
    return _told_by_name(topic) is True


def _told_by_name(topic: str) -> bool | None:
    *folders, name = topic.removesuffix("/compressed").split("/")
    words, folder = name.split("_"), folders[-1] if folders else ""
    if not _RECTIFIED.isdisjoint(words):
        return True
    if "raw" in words:
        return False
    return True if folder in _RECTIFIED else False if folder == "raw" else None


def read_calibration(info: Any, image_topic: str, rectified: str = "auto") -> Calibration:
    """Read a CameraInfo.

    Raw images follow K and D. Rectified ones follow P without D, and are turned by R against the
    optical frame.

    Args:
        info: sensor_msgs/CameraInfo.
        image_topic: its name tells rectified images.
        rectified: "true", "false", or "auto" to find out.

    Raises:
        ValueError: it holds the numbers of no calibrated camera.
    """
    if not (info.width and info.height):
        raise ValueError(
            f"its size is {info.width} x {info.height} pixels: the camera's driver has no "
            "calibration (often the parameter camera_info_url)"
        )
    _check_numbers(info)
    size, binning = (info.width, info.height), (max(info.binning_x, 1), max(info.binning_y, 1))
    p, use_p, reason = (
        np.reshape(info.p, (3, 4))[:, :3],
        *_is_rectified(info, image_topic, rectified),
    )
    rotation = None
    if use_p:
        rotation = _rotation(info)
        has_p = _has_focal_lengths(p, info)
        matrix, d = (p if has_p else np.reshape(info.k, (3, 3))).copy(), ()
        name = "P without D" if has_p else "K without D (P is empty)"
        name += "" if rotation is None else ", turned by R"
    else:
        matrix, d, name = np.reshape(info.k, (3, 3)).copy(), info.d, "K and D"
    _undo_binning(matrix, size, binning)
    window = _window(info)
    if window is not None and not _inside(window, size):
        # Some drivers give the size of the cropped image as that of the full one.
        _undo_crop(matrix, window)
        window = None
    model = CameraModel(
        fx=float(matrix[0, 0]),
        fy=float(matrix[1, 1]),
        cx=float(matrix[0, 2]),
        cy=float(matrix[1, 2]),
        width=info.width,
        height=info.height,
        distortion=tuple(map(float, d)),
        distortion_model=info.distortion_model,
        rotation=rotation,
    )
    return Calibration(model, window, binning, f"{name} ({reason})")


def _is_rectified(info: Any, topic: str, choice: str) -> tuple[bool, str]:
    """Return whether P describes the images, and why."""
    if choice != "auto":
        return choice == "true", f"camera.rectified is {choice}"
    has_p = _has_focal_lengths(np.reshape(info.p, (3, 4)), info)
    if has_p and not info.k[0]:
        return True, "K is empty"
    told = _told_by_name(topic)
    if told is not None:
        return told, f"the images' name is {topic}"
    if any(info.d):
        return False, "D is not zero"
    return has_p, "D is zero" if has_p else "P is empty"


def _has_focal_lengths(matrix: npt.NDArray[np.float64], info: Any) -> bool:
    return bool(matrix[0, 0] >= NARROW * info.width and matrix[1, 1] >= NARROW * info.height)


def _rotation(info: Any) -> tuple[float, ...] | None:
    """Return R; None if it is unset, the identity, or part of the images' frame already."""
    r = np.reshape(info.r, (3, 3))
    frame = info.header.frame_id.replace("/", "_").split("_")
    if not r.any() or np.allclose(r, np.eye(3), atol=1e-9) or not _RECTIFIED.isdisjoint(frame):
        return None
    if not (np.allclose(r @ r.T, np.eye(3), atol=1e-3) and np.linalg.det(r) > 0):
        raise ValueError(f"its R is {r.ravel().tolist()}, which is no rotation")
    return tuple(r.ravel().tolist())


def _undo_binning(
    matrix: npt.NDArray[np.float64], size: tuple[int, int], binning: tuple[int, int]
) -> None:
    """Bring a matrix to the CameraInfo's size: some drivers scale one of the two alone.

    The principal point tells: it lies near the middle of the image.
    """
    for row in (0, 1):
        b = binning[row]
        scales = (1.0, float(b), 1.0 / b)
        middle = [abs(scale * matrix[row, 2] / size[row] - 0.5) for scale in scales]
        matrix[row] *= scales[int(np.argmin(middle))]


def _window(info: Any) -> Window | None:
    """Return the region of interest; None for the whole image."""
    roi = info.roi
    x, y, w, h = roi.x_offset, roi.y_offset, roi.width, roi.height
    window = (x, y, w or max(info.width - x, 1), h or max(info.height - y, 1))
    return None if window == (0, 0, info.width, info.height) else window


def _inside(window: Window, size: tuple[int, int]) -> bool:
    """Return whether a window is a part of the image; raise a ValueError if it cannot be."""
    x, y, w, h = window
    if x + w <= size[0] and y + h <= size[1]:
        return True
    if (w, h) != size:
        raise ValueError(
            f"its roi, {w} x {h} from {x}, {y} on, reaches outside of its {size[0]} x {size[1]} "
            "pixels, which are those of the sensor"
        )
    return False


def _undo_crop(matrix: npt.NDArray[np.float64], window: Window) -> None:
    """Move the principal point into the cropped image, unless it is there already."""
    offset, size = np.array(window[:2]), np.array(window[2:])
    before = np.abs(matrix[:2, 2] / size - 0.5).sum()
    after = np.abs((matrix[:2, 2] - offset) / size - 0.5).sum()
    if after < before:
        matrix[:2, 2] -= offset


def _check_numbers(info: Any) -> None:
    """Raise a ValueError on numbers that no camera has, though some look like those of one."""
    if len(info.d) > MAX_D:
        raise ValueError(f"its D holds {len(info.d)} coefficients")
    numbers = np.concatenate([info.k, info.d, info.r, info.p])
    if not (np.abs(numbers) < HUGE).all():  # or NaN
        raise ValueError("its K, D, R or P holds values that no camera has")
    if info.k[6] or info.k[7]:
        raise ValueError(
            f"its K is {[float(value) for value in info.k]}; K is fx 0 cx, 0 fy cy, 0 0 1, by rows"
        )
    if 0 < info.k[0] < NARROW * info.width:
        raise ValueError(
            f"its K has a focal length of {info.k[0]:g} for {info.width} pixels; K is in pixels"
        )
