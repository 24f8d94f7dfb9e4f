import cv2
import numpy as np
import pytest

from objectomaly_ros.geometry.camera_model import CameraModel
from objectomaly_ros.geometry.lens import fisheye_rays, pinhole_rays
from objectomaly_ros.geometry.ray_table import RayTable

STILL = np.zeros((1, 3))
PINHOLE = {
    "plumb_bob": (-0.28, 0.09, 0.001, -0.0007, -0.01),
    "strong": (-0.35, 0.12, 0.0, 0.0),
    "rational": (1.2, 0.4, 0.0005, -0.0003, 0.02, 1.5, 0.7, 0.06),
    "prism": (-0.1, 0.02, 0.001, 0.001, 0.003, 0.01, 0.02, 0.003, 0.002, 0.001, -0.002, 0.001),
}
PINHOLE["tilted"] = (*PINHOLE["prism"], 0.02, -0.03)


def plane(count=500):
    return np.random.default_rng(3).uniform([-0.75, -0.45], [0.75, 0.45], (count, 2))


@pytest.mark.parametrize("lens", PINHOLE)
def test_opencv_projects_the_rays_back_to_their_points(lens):
    rays = pinhole_rays(plane(), PINHOLE[lens])
    seen, _ = cv2.projectPoints(rays[:, None], STILL, STILL, np.eye(3), np.array(PINHOLE[lens]))
    np.testing.assert_allclose(seen.reshape(-1, 2), plane(), atol=1e-9)


def test_fisheye_rays_reach_behind_the_camera():
    coefficients = (0.02, -0.003, 0.0005, -0.0001)
    theta, phi = np.meshgrid(np.linspace(0.0, np.radians(100), 30), np.linspace(0, 6, 13))
    bent = theta * (1 + sum(k * theta ** (2 * n + 2) for n, k in enumerate(coefficients)))
    points = np.stack([bent * np.cos(phi), bent * np.sin(phi)], -1).reshape(-1, 2)
    side = np.sin(theta)
    known = np.stack([side * np.cos(phi), side * np.sin(phi), np.cos(theta)], -1).reshape(-1, 3)
    np.testing.assert_allclose(fisheye_rays(points, coefficients), known, atol=1e-9)


def test_points_that_no_ray_meets_are_nan():
    edge = 0.57  # of 1 - 0.45 r^2, which folds at 0.574
    points = np.array([[edge, 0.0], [0.0, -edge], [0.6, 0.0], [-1.2, 0.8], [0.0, 1.5]])
    rays = pinhole_rays(points, (-0.45, 0.0, 0.0, 0.0))
    np.testing.assert_array_equal(np.isnan(rays[:, 0]), [False, False, True, True, True])
    far = np.array([[0.0, 0.0], [2.0, 0.0], [9.0, 0.0]])
    found = fisheye_rays(far, (-0.05, 0.0, 0.0, 0.0))
    np.testing.assert_array_equal(np.isnan(found[:, 0]), [False, True, True])


@pytest.mark.parametrize("size", [(640, 360), (1920, 1080), (333, 777)])
@pytest.mark.parametrize(
    ("lens", "coefficients"),
    [
        ("plumb_bob", PINHOLE["plumb_bob"]),
        ("plumb_bob", PINHOLE["strong"]),
        ("rational_polynomial", PINHOLE["rational"]),
        ("equidistant", (0.03, -0.01, 0.004, -0.001)),
    ],
)
def test_interpolated_rays_are_those_of_the_model(size, lens, coefficients):
    width, height = size
    focal = 0.6 * max(size)
    model = CameraModel(focal, focal, width / 2, height / 2, *size, coefficients, lens)
    rng = np.random.default_rng(0)
    pixels = rng.uniform([-0.5, -0.5], [width - 0.5, height - 0.5], (2000, 2))
    table, exact = RayTable(model).rays(pixels), model.rays(pixels)
    table /= np.linalg.norm(table, axis=1)[:, None]
    exact /= np.linalg.norm(exact, axis=1)[:, None]
    assert focal * np.linalg.norm(table - exact, axis=1).max() < 1e-4 * width
