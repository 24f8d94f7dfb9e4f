"""A camera's intrinsics and lens distortion: from pixels to viewing rays."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

_PINHOLE = ("plumb_bob", "rational_polynomial", "")
_FISHEYE = ("equidistant", "fisheye")


@dataclass(frozen=True)
class CameraModel:
    """Intrinsics of a camera, as `sensor_msgs/CameraInfo` gives them.

    Attributes:
        fx, fy: focal lengths in pixels.
        cx, cy: principal point in pixels; (0, 0) is the centre of the upper left pixel.
        width, height: size of the calibrated image in pixels.
        distortion: coefficients D in the order of the message. Trailing zeros do not count,
            and missing coefficients are zero.
        distortion_model: `plumb_bob`, `rational_polynomial` (OpenCV's pinhole models), or
            `equidistant` (also called `fisheye`; Kannala and Brandt, 4 coefficients); any other
            name without coefficients.

    Raises:
        ValueError: numbers of no calibrated camera, or coefficients of an unknown model.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    distortion: tuple[float, ...] = ()
    distortion_model: str = "plumb_bob"

    def __post_init__(self) -> None:
        numbers = [self.fx, self.fy, self.cx, self.cy]
        if not (self.fx > 0 and self.fy > 0 and np.isfinite(numbers).all()):
            raise ValueError(
                f"fx, fy, cx, cy = {numbers}: the camera is not calibrated; calibrate it, or "
                "publish a camera_info with its numbers"
            )
        _coefficients(self.distortion_model, self.distortion)

    @classmethod
    def from_camera_info(
        cls,
        k: npt.ArrayLike,
        d: npt.ArrayLike = (),
        distortion_model: str = "plumb_bob",
        *,
        width: int,
        height: int,
    ) -> CameraModel:
        """Make a model from CameraInfo's fields: `k` is K by rows (9 numbers), `d` is D."""
        matrix = np.asarray(k, np.float64).reshape(3, 3)
        return cls(
            fx=float(matrix[0, 0]),
            fy=float(matrix[1, 1]),
            cx=float(matrix[0, 2]),
            cy=float(matrix[1, 2]),
            width=width,
            height=height,
            distortion=tuple(float(v) for v in np.asarray(d, np.float64).ravel()),
            distortion_model=distortion_model,
        )

    def resized(self, width: int, height: int) -> CameraModel:
        """Return the model for the image resized to `width` x `height`."""
        sx, sy = width / self.width, height / self.height
        return CameraModel(
            fx=self.fx * sx,
            fy=self.fy * sy,
            # Pixel centres are whole numbers; the distance from the corner scales.
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
            width=width,
            height=height,
            distortion=self.distortion,
            distortion_model=self.distortion_model,
        )

    def cropped(self, x: int, y: int, width: int, height: int) -> CameraModel:
        """Return the model for the part of the image from pixel x, y on."""
        cx, cy = self.cx - x, self.cy - y
        return dataclasses.replace(self, cx=cx, cy=cy, width=width, height=height)

    def rays(self, pixels: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the directions of pixels, (M, 2) x, y, in the optical frame.

        Returns:
            (M, 3) float64 with z = 1; NaN for pixels without an inverse of the lens model.
        """
        points = np.asarray(pixels, np.float64).reshape(-1, 1, 2)
        matrix = np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])
        lens = np.array(_coefficients(self.distortion_model, self.distortion))
        if not len(points) or not len(lens):
            plane = (points.reshape(-1, 2) - matrix[:2, 2]) / [self.fx, self.fy]
        elif _spelled(self.distortion_model) in _FISHEYE:
            found = cv2.fisheye.undistortPoints(points, matrix, lens)
            plane = found.reshape(-1, 2)
            plane = np.where(np.abs(plane) < 1e3, plane, np.nan)
        else:
            plane = _undistort(points, matrix, lens)
        return np.column_stack([plane, np.ones(len(plane))])


def _spelled(model: str) -> str:
    return model.strip().lower().replace(" ", "_")


def _coefficients(model: str, given: tuple[float, ...]) -> tuple[float, ...]:
    """Return the coefficients in a count that OpenCV takes; () if all are zero."""
    used = len(given)
    while used and given[used - 1] == 0:
        used -= 1
    if not used:
        return ()
    if _spelled(model) not in _PINHOLE + _FISHEYE:
        raise ValueError(
            f"distortion model {model[:40]!r} is not known; "
            "use plumb_bob, rational_polynomial or equidistant, or rectify the image"
        )
    counts = (4,) if _spelled(model) in _FISHEYE else (4, 5, 8, 12, 14)
    if used > counts[-1]:
        raise ValueError(
            f"distortion model {model[:40]!r} has {used} coefficients; "
            f"it takes at most {counts[-1]}"
        )
    count = next(count for count in counts if count >= used)
    return (*given[:used], *[0.0] * (count - used))


def _undistort(
    points: npt.NDArray[np.float64],
    matrix: npt.NDArray[np.float64],
    distortion: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return normalised coordinates (M, 2) of distorted pixels (M, 1, 2); NaN without convergence.

    OpenCV ends its fixed-point iteration early (after five rounds before version 5), too early near
    the corners of wide lenses. It is continued here until the pixel is met.
    """
    focal = np.array([matrix[0, 0], matrix[1, 1]])
    target = points.reshape(-1, 2)
    plane = np.asarray(cv2.undistortPoints(points, matrix, distortion), np.float64).reshape(-1, 2)
    still = np.zeros(3)
    for _ in range(40):
        solid = np.column_stack([plane, np.ones(len(plane))])
        seen = cv2.projectPoints(solid, still, still, matrix, distortion)[0].reshape(-1, 2)
        error = target - seen
        if np.abs(error).max() < 1e-9:
            break
        plane = plane + error / focal
    return np.where(np.abs(error).max(axis=1, keepdims=True) < 0.01, plane, np.nan)
