"""A camera's intrinsics and lens distortion: from pixels to viewing rays."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from objectomaly_ros.geometry.lens import fisheye_rays, pinhole_rays

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
            name without coefficients. Without coefficients every model is a pinhole.
        rotation: R of a rectified image by rows, 9 numbers: it takes directions of the optical
            frame to those of the rectified image. None for raw images.

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
    rotation: tuple[float, ...] | None = None

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

    @property
    def is_pinhole(self) -> bool:
        """Whether the lens does not distort."""
        return not any(self.distortion)

    def resized(self, width: int, height: int) -> CameraModel:
        """Return the model for the image resized to `width` x `height`."""
        sx, sy = width / self.width, height / self.height
        return dataclasses.replace(
            self,
            fx=self.fx * sx,
            fy=self.fy * sy,
            # Pixel centres are whole numbers; the distance from the corner scales.
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
            width=width,
            height=height,
        )

    def cropped(self, x: int, y: int, width: int, height: int) -> CameraModel:
        """Return the model for the part of the image from pixel x, y on."""
        cx, cy = self.cx - x, self.cy - y
        return dataclasses.replace(self, cx=cx, cy=cy, width=width, height=height)

    def rays(self, pixels: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the directions of pixels, (M, 2) x, y, in the optical frame.

        Returns:
            (M, 3) float64, of any length; NaN for pixels without an inverse of the lens model.
        """
        points = np.asarray(pixels, np.float64).reshape(-1, 2)
        with np.errstate(over="ignore"):  # of focal lengths that no camera has
            plane = (points - [self.cx, self.cy]) / [self.fx, self.fy]
        lens = _coefficients(self.distortion_model, self.distortion)
        if not lens:
            rays = np.column_stack([plane, np.ones(len(plane))])
        elif _spelled(self.distortion_model) in _FISHEYE:
            rays = fisheye_rays(plane, lens)
        else:
            rays = pinhole_rays(plane, lens)
        return rays if self.rotation is None else rays @ np.reshape(self.rotation, (3, 3))


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
