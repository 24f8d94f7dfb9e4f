import cv2
import numpy as np
import pytest

from objectomaly_ros.geometry.footprint import footprint
from objectomaly_ros.geometry.placement import Placement


def seen(points, position=(0.0, 0.0, 1.5)):
    points = np.column_stack([points, np.zeros(len(points))]).astype(np.float32)
    return footprint(Placement(points), np.array(position))


def area(corners):
    """Of a polygon; more than 0 if it is counter-clockwise."""
    x, y = corners.T.astype(float)
    return (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2


def test_a_front_gets_a_back_as_deep_as_it_is_wide():
    corners = seen([[10.0, y] for y in np.linspace(-0.4, 0.4, 30)])
    assert area(corners) == pytest.approx(0.8**2, rel=1e-4)
    np.testing.assert_allclose(corners.min(axis=0), [10.0, -0.4], rtol=1e-5)
    np.testing.assert_allclose(corners.max(axis=0), [10.8, 0.4], rtol=1e-5)


@pytest.mark.parametrize(("width", "depth"), [(0.02, 0.1), (0.3, 0.3), (5.0, 1.0)])
def test_the_depth_has_limits(width, depth):
    corners = seen([[10.0, y] for y in np.linspace(-width / 2, width / 2, 9)])
    assert np.ptp(corners[:, 0]) == pytest.approx(depth, rel=1e-4)


def test_the_back_is_behind_as_the_camera_sees_it():
    corners = seen([[1.0, 8.0], [1.4, 8.0]], position=(1.2, 0.0, 1.0))
    np.testing.assert_allclose(corners.max(axis=0), [1.4, 8.4], rtol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_every_polygon_has_an_area_holds_its_contacts_and_turns_left(count):
    rng = np.random.default_rng(count)
    for _ in range(50):
        points = rng.uniform([-20, -20], [20, 20]) + rng.uniform(-1, 1, (count, 2))
        corners = seen(points, rng.uniform(-2, 2, 3))
        assert corners.shape[0] >= 3
        assert area(corners) > 0
        outline = corners.astype(np.float32)[:, None]
        for x, y in points:
            assert cv2.pointPolygonTest(outline, (float(x), float(y)), True) > -1e-4


def test_an_obstacle_right_under_the_camera_has_one_as_well():
    assert area(seen([[0.0, 0.0]])) > 0


def test_an_obstacle_without_contact_points_has_none():
    assert footprint(Placement(), np.zeros(3)) is None
