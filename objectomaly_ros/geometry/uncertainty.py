"""Standard deviation of ranges on the ground plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Noise:
    """Standard deviations of what a range on the ground plane depends on.

    Attributes:
        height: of the camera above the ground, metres. Roughness of the ground counts as well.
        pitch: of the camera against the ground, radians. Sway and slope count as well.
        pixel: of the row of a contact pixel, pixels.
    """

    height: float = 0.03
    pitch: float = 0.005
    pixel: float = 1.0


def range_std(
    points: npt.NDArray[np.float64],
    position: npt.NDArray[np.float64],
    directions: npt.NDArray[np.float64],
    per_row: npt.NDArray[np.float64],
    forward: npt.NDArray[np.float64],
    noise: Noise,
) -> npt.NDArray[np.float64]:
    """Return the standard deviation of the range of points on the ground plane.

    It is propagated to first order. With camera position o and ray w, a point is
    p = o - o_z / w_z w, its range |p|; a change dw of the ray moves it by
    -o_z / w_z (dw - dw_z / w_z w), a change of the height by -w / w_z.

    Args:
        points: (M, 3) x, y, 0, in the base frame.
        position: of the camera, (3,).
        directions: rays of the points, (M, 3).
        per_row: change of the rays for one row of pixels, (M, 3).
        forward: view direction of the camera, (3,).
        noise: standard deviations of height, pitch and row.

    Returns:
        (M,) metres, along the ground, from the base frame's origin.
    """
    ranges = np.hypot(points[:, 0], points[:, 1])
    outward = points[:, :2] / np.maximum(ranges, 1e-9)[:, None]
    across = np.array([-forward[1], forward[0], 0.0])
    length = np.hypot(forward[0], forward[1])
    # A camera that looks straight down has no pitch of its own: each ray tilts in its own plane.
    axis = (
        across / length
        if length > 1e-3
        else np.column_stack([-outward[:, 1], outward[:, 0], np.zeros(len(points))])
    )
    scale = -position[2] / directions[:, 2]

    def moved(change: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        along = change - (change[:, 2] / directions[:, 2])[:, None] * directions
        return np.asarray(scale * (along[:, :2] * outward).sum(axis=1))

    by_height = -(directions[:, :2] * outward).sum(axis=1) / directions[:, 2]
    variance = (
        (noise.height * by_height) ** 2
        + (noise.pitch * moved(np.cross(axis, directions))) ** 2
        + (noise.pixel * moved(per_row)) ** 2
    )
    return np.asarray(np.sqrt(variance))
