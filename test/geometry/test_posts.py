import numpy as np
import pytest

from objectomaly_ros.geometry.placement import Placement
from objectomaly_ros.geometry.posts import posts


def placement(points, heights):
    points = np.asarray(points, np.float32)
    count = len(points)
    return Placement(
        points=points,
        pixels=np.zeros((count, 2), np.int32),
        heights=np.broadcast_to(np.float32(heights), count).copy(),
        range_std=np.arange(count, dtype=np.float32),
    )


def edge(width, count, x=10.0):
    y = np.linspace(-width / 2, width / 2, count)
    return np.column_stack([np.full(count, x), y, np.zeros(count)])


@pytest.mark.parametrize(
    ("height", "limit", "expected"),
    [
        (0.01, 1.0, [0.1]),
        (0.05, 1.0, [0.1]),
        (0.25, 1.0, [0.1, 0.2]),
        (0.3, 1.0, [0.1, 0.2, 0.3]),
        (0.7, 0.5, [0.1, 0.2, 0.3, 0.4, 0.5]),
        (1.7, 1.0, [k / 10 for k in range(1, 11)]),
    ],
)
def test_a_post_reaches_from_a_tenth_to_the_seen_height(height, limit, expected):
    found = posts([placement([[8.0, 1.0, 0.0]], height)], limit)
    np.testing.assert_allclose(found.points[:, 2], expected, atol=1e-6)
    np.testing.assert_array_equal(found.points[:, :2], np.full((len(expected), 2), [8.0, 1.0]))


def test_posts_stand_on_contact_points_that_are_not_on_the_plane():
    found = posts([placement([[8.0, 1.0, 0.5]], 0.2)], 1.0)
    np.testing.assert_allclose(found.points[:, 2], [0.6, 0.7], rtol=1e-6)


def test_every_point_knows_its_obstacle_and_its_deviation():
    found = posts(
        [placement(edge(1.0, 3), 0.2), Placement(), placement([[5, 0, 0], [5, 1, 0]], 0.1)], 1.0
    )
    assert found.obstacle.tolist() == [0] * 6 + [2] * 2
    assert found.range_std.tolist() == [0, 0, 1, 1, 2, 2, 0, 1]


@pytest.mark.parametrize("count", [5000, 300, 41, 9, 2])
def test_dense_edges_are_thinned_and_stay_connected(count):
    """AEB joins points within 0.15 m, and counts 10 cells of 0.05 m at least."""
    given = edge(2.0, count)
    found = posts([placement(given, 0.1)], 1.0)
    steps = np.diff(np.sort(found.points[:, 1]))
    assert len(found.points) <= min(count, 82)
    assert steps.max() <= max(0.05, 2.0 / (count - 1)) + 1e-6
    assert len(found.points) >= min(count, 40)


def test_close_obstacles_do_not_take_each_others_posts():
    both = posts([placement([[5, 0, 0]], 0.1), placement([[5, 0.001, 0]], 0.1)], 1.0)
    assert both.obstacle.tolist() == [0, 1]


@pytest.mark.parametrize("placements", [[], [Placement()]])
def test_no_contact_point_gives_no_post(placements):
    found = posts(placements, 1.0)
    assert found.points.shape == (0, 3)
    assert len(found.obstacle) == len(found.range_std) == 0
