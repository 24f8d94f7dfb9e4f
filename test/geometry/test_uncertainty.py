import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from objectomaly_ros.geometry.camera_model import CameraModel
from objectomaly_ros.geometry.ground import CameraPose
from objectomaly_ros.geometry.placement import place
from objectomaly_ros.geometry.uncertainty import Noise
from objectomaly_ros.geometry.view import View
from objectomaly_ros.obstacles.extraction import Region

LENSES = {
    "pinhole": ("plumb_bob", ()),
    "plumb_bob": ("plumb_bob", (-0.28, 0.09, 0.001, -0.0007, -0.01)),
    "fisheye": ("equidistant", (0.03, -0.01, 0.004, -0.001)),
}
PIXELS = np.array([[60, 330], [200, 300], [330, 260], [420, 240], [600, 350]], np.int32)


def camera(lens):
    name, coefficients = LENSES[lens]
    return CameraModel(500, 505, 322, 181, 640, 360, coefficients, name)


def pose(turn=0.0, move=(0.0, 0.0), pitch=0.1, roll=0.0):
    result = CameraPose(1.4, pitch, roll).matrix()
    result[:3, :3] = Rotation.from_euler("z", turn).as_matrix() @ result[:3, :3]
    result[:2, 3] = move
    return result


def simulated(model, transform, noise, count=40_000):
    """Standard deviations of ranges under noise, by drawing it."""
    rng = np.random.default_rng(5)
    left = -transform[:3, 0] * [1, 1, 0]
    left /= np.linalg.norm(left)
    found = []
    for pixel in PIXELS:
        rows = rng.normal(0, noise.pixel, count)
        pixels = np.column_stack([np.full(count, pixel[0]), pixel[1] + rows])
        rays = model.rays(pixels) @ transform[:3, :3].T
        turns = Rotation.from_rotvec(rng.normal(0, noise.pitch, count)[:, None] * left)
        rays = turns.apply(rays)
        heights = transform[2, 3] + rng.normal(0, noise.height, count)
        points = transform[:2, 3] - (heights / rays[:, 2])[:, None] * rays[:, :2]
        found.append(np.hypot(*points.T).std())
    return found


def placed(model, transform, noise):
    region = Region(1, 1, (0, 0, 640, 360), 9, PIXELS, (0, 0), PIXELS, PIXELS[:, 1] - 30)
    (found,) = place([region], View(model, transform), noise=noise)
    assert len(found.points) == len(PIXELS)
    return found


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize(
    "noise",
    [Noise(0.03, 0, 0), Noise(0, 0.003, 0), Noise(0, 0, 0.6), Noise(0.02, 0.002, 0.4)],
    ids=["height", "pitch", "pixel", "all"],
)
@pytest.mark.parametrize(
    "transform",
    [pose(), pose(0.6, (2.0, 0.4)), pose(-2.0, (-0.5, 0.1), 0.15)],
    ids=["over the origin", "front left", "back"],
)
def test_the_deviation_of_ranges_is_what_drawing_the_noise_gives(lens, noise, transform):
    model = camera(lens)
    found = placed(model, transform, noise).range_std
    np.testing.assert_allclose(found, simulated(model, transform, noise), rtol=0.05)


def test_a_camera_that_looks_straight_down_has_deviations_too():
    found = placed(camera("pinhole"), pose(pitch=np.pi / 2), Noise(0.02, 0.01, 1.0))
    assert np.isfinite(found.range_std).all()
    assert (found.range_std > 0).all()


def test_without_noise_ranges_are_certain():
    assert not placed(camera("plumb_bob"), pose(), Noise(0.0, 0.0, 0.0)).range_std.any()
