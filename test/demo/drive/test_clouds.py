"""Surfaces made of distance functions lie where these are zero, and face outward."""

import numpy as np
import pytest

from objectomaly_ros.demo.drive.clouds import ball, box, cylinder, make_solid
from objectomaly_ros.demo.drive.unknown import UNKNOWN


def _plain(points, normals):
    return np.full((len(points), 3), 100.0), np.zeros(len(points))


def test_a_balls_surface_is_round_and_faces_outward():
    solid = make_solid(lambda p: ball(p, [0, 0, 0.5], 0.5), _plain, [-0.6] * 3, [1.1] * 3, 0.05, 2)
    for cloud in solid.levels:
        offset = cloud.points - [0, 0, 0.5]
        np.testing.assert_allclose(np.linalg.norm(offset, axis=1), 0.5, atol=0.01)
        outward = (offset * cloud.normals).sum(axis=1)
        np.testing.assert_allclose(outward, 0.5, atol=0.01)


def test_distances_are_metric():
    points = np.array([[2.0, 0, 0], [0, 0, 0.5], [0, 3, 0]])
    np.testing.assert_allclose(box(points, [0, 0, 0], [1, 1, 1]), [1, -0.5, 2])
    np.testing.assert_allclose(cylinder(points, [0, 0, 0], 2, 1.0, 1.0), [1, -0.5, 2])


def test_the_coarsest_level_that_covers_is_chosen():
    solid = make_solid(lambda p: ball(p, [0, 0, 0.5], 0.5), _plain, [-0.6] * 3, [1.1] * 3, 0.02, 3)
    assert solid.at(10.0) is solid.levels[2]
    assert solid.at(60.0) is solid.levels[1]
    assert solid.at(1e4) is solid.levels[0]


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_objects_stand_on_the_ground(name):
    cloud = UNKNOWN[name]().levels[0]
    low, high = cloud.points.min(axis=0), cloud.points.max(axis=0)
    assert abs(low[2]) < 0.06
    assert 0.3 < high[2] < 2.0
    assert 0 <= cloud.albedo.min() <= cloud.albedo.max() < 300
    np.testing.assert_allclose(np.linalg.norm(cloud.normals, axis=1), 1, atol=1e-3)
