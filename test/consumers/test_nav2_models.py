"""The models follow Nav2's rules: what they make of messages whose meaning is known."""

import numpy as np
import pytest
from messages_in import cloud, footprint, scan
from nav2_models import (
    CollisionMonitor,
    LayerSource,
    ObstacleLayer,
    PointCloudSource,
    PolygonSource,
    ScanSource,
)

NOW = 100.0
HEIGHTS = np.arange(1, 11) / 10


def posts(x, width=0.4, heights=HEIGHTS):
    """Return points on the front of an obstacle."""
    return [(x, y, z) for y in np.linspace(-width / 2, width / 2, 9) for z in heights]


def stops(source, *messages, now=NOW):
    for message in messages:
        source.take(message)
    return CollisionMonitor({"ours": source}).stops(now)


def test_posts_stop_the_robot_and_points_on_the_ground_do_not():
    assert stops(PointCloudSource(), cloud(NOW, posts(0.25))) == "45 points"
    assert stops(PointCloudSource(), cloud(NOW, posts(0.35))) is None
    assert stops(PointCloudSource(), cloud(NOW, posts(0.25, heights=[0.0, 0.04, 0.6]))) is None
    assert stops(PointCloudSource(), cloud(NOW, posts(0.25)[:3])) is None  # min_points is 4


def test_silence_stops_the_robot_and_an_empty_cloud_does_not():
    assert stops(PointCloudSource()) == "invalid source ours"
    assert stops(PointCloudSource(), cloud(NOW - 2.1, [])) == "invalid source ours"
    assert stops(PointCloudSource(), cloud(NOW - 1.9, [])) is None
    assert stops(PointCloudSource(source_timeout=0), cloud(NOW - 1e3, [])) is None


def test_a_scan_counts_what_is_in_range_and_nothing_else():
    near = np.full(100, 0.2)
    assert stops(ScanSource(), scan(NOW, near)) == "100 points"
    for nothing in (np.nan, np.inf, 19.99, 21.0):
        assert stops(ScanSource(), scan(NOW, np.full(100, nothing))) is None
    assert stops(ScanSource()) == "invalid source ours"


def test_a_polygon_stands_until_it_is_old_or_replaced_and_without_any_the_robot_stops():
    box = [(0.1, -0.1), (0.2, -0.1), (0.2, 0.1), (0.1, 0.1)]
    assert stops(PolygonSource()) == "invalid source ours"
    source = PolygonSource()
    assert stops(source, footprint(NOW, 7, box)) == "10 points"
    assert stops(source, now=NOW + 1.9) == "10 points"
    assert stops(source, footprint(NOW, 7, [])) is None
    assert stops(source, now=NOW + 2.1) is None
    assert stops(source, now=NOW + 2.2) == "invalid source ours"


def layer(**sources):
    return ObstacleLayer(sources, origin=(-1.0, -2.0), size=(6.0, 4.0))


def crate_is_there(costmap):
    return costmap.has_obstacle((1.9, -0.3), (2.1, 0.3))


def test_what_was_marked_stays_until_a_ray_clears_it():
    marks = LayerSource(min_obstacle_height=0.0, max_obstacle_height=2.0)
    rays = LayerSource(marking=False, clearing=True)
    costmap = layer(marks=marks, rays=rays)
    marks.take(cloud(NOW, posts(2.0)), (0, 0, 0), NOW)
    costmap.update()
    assert crate_is_there(costmap)
    marks.take(cloud(NOW, []), (0, 0, 0), NOW)
    costmap.update()
    assert crate_is_there(costmap)  # an empty cloud clears nothing
    edge = [(2.8, y, 0.0) for y in np.linspace(-0.6, 0.6, 60)]
    rays.take(cloud(NOW, edge), (0, 0, 0), NOW)
    costmap.update()
    assert not crate_is_there(costmap)


def test_heights_and_ranges_outside_the_limits_do_not_count():
    for limits in ({}, {"max_obstacle_height": 0.05}):  # the default of max_obstacle_height is 0
        source = LayerSource(**limits)
        source.take(cloud(NOW, posts(2.0)), (0, 0, 0), NOW)
        costmap = layer(s=source)
        costmap.update()
        assert not costmap.lethal.any()
    source = LayerSource(max_obstacle_height=2.0)
    source.take(cloud(NOW, posts(2.6)), (0, 0, 0), NOW)  # obstacle_max_range is 2.5
    costmap = layer(s=source)
    costmap.update()
    assert not costmap.lethal.any()


@pytest.mark.parametrize(
    ("free", "inf_is_valid", "clears"),
    [(np.inf, False, False), (np.inf, True, True), (19.99, False, True), (np.nan, True, False)],
)
def test_a_scan_clears_by_rays_that_end_within_its_range(free, inf_is_valid, clears):
    source = LayerSource(clearing=True, max_obstacle_height=2.0, inf_is_valid=inf_is_valid)
    costmap = layer(scan=source)
    source.take(scan(NOW, np.full(100, 2.0)), (0, 0, 0), NOW)
    costmap.update()
    assert crate_is_there(costmap)
    source.take(scan(NOW, np.full(100, free)), (0, 0, 0), NOW)
    costmap.update()
    assert crate_is_there(costmap) is not clears


def test_a_ray_with_a_smallest_range_leaves_what_the_camera_cannot_see():
    marks = LayerSource(max_obstacle_height=2.0)
    for smallest, kept in ((0.0, False), (1.0, True)):
        rays = LayerSource(marking=False, clearing=True, raytrace_min_range=smallest)
        costmap = layer(marks=marks, rays=rays)
        marks.take(cloud(NOW, posts(0.6)), (0, 0, 0), NOW)
        costmap.update()
        marks.take(cloud(NOW, []), (0, 0, 0), NOW)
        rays.take(cloud(NOW, [(2.8, y, 0.0) for y in np.linspace(-1, 1, 99)]), (0, 0, 0), NOW)
        costmap.update()
        assert costmap.has_obstacle((0.5, -0.2), (0.7, 0.2)) is kept


def test_the_robots_pose_moves_points_into_the_map_and_old_sources_are_not_current():
    source = LayerSource(max_obstacle_height=2.0, expected_update_rate=0.5)
    costmap = layer(s=source)
    source.take(cloud(NOW, posts(1.0)), (2.0, 1.0, -np.pi / 2), NOW)
    costmap.update()
    assert costmap.has_obstacle((1.8, -0.05), (2.2, 0.05))
    assert costmap.is_current(NOW + 0.4)
    assert not costmap.is_current(NOW + 0.6)
