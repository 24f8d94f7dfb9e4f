import numpy as np
import pytest

pytest.importorskip("rclpy", reason="messages need rclpy and the built package: scripts/env")

from ground_scenes import PINHOLE, view_of
from std_msgs.msg import Header

from objectomaly_ros.geometry.beams import Beams, BeamSettings
from objectomaly_ros.geometry.clouds import GROUND_POINT, POINT
from objectomaly_ros.geometry.placement import Placement
from objectomaly_ros.geometry.posts import posts
from objectomaly_ros.obstacles.extraction import find_regions
from objectomaly_ros.obstacles.stage import Obstacles
from objectomaly_ros.ros import planner_messages as messages

pytestmark = pytest.mark.ros

BEAMS = Beams(view_of(PINHOLE), (360, 640), np.eye(4), BeamSettings())


@pytest.fixture
def stamp():
    found = Header().stamp
    found.sec = 12
    return found


@pytest.fixture
def obstacles():
    mask = np.zeros((20, 30), bool)
    mask[5:10, 3:9] = mask[12:14, 20:24] = True
    score = mask * np.float32(0.5)
    score[12:14, 20:24] = 0.75
    return Obstacles(mask, None, find_regions(mask, score), [7, 2**32 - 1], [2, 0])


def placement(points, spread, heights):
    points = np.array(points, np.float32)
    return Placement(
        points,
        heights=np.array(heights, np.float32),
        range_std=np.array(spread, np.float32),
        pixels=np.zeros((len(points), 2), np.int32),
    )


def test_the_point_cloud_holds_posts_with_scores_ids_and_deviations(stamp, obstacles):
    placements = [
        placement([[6, 1, 0], [5, 0.5, 0]], [0.3, 0.2], [0.2, 0.1]),
        placement([[7, 2, 0]], [0.4], [0.0]),
    ]
    cloud = messages.obstacle_points(stamp, "base_link", obstacles, posts(placements, 1.0))
    assert (cloud.header.stamp.sec, cloud.header.frame_id) == (12, "base_link")
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (1, 4, 24, 96)
    data = np.frombuffer(cloud.data, POINT)
    np.testing.assert_allclose(data["x"], [6, 6, 5, 7])
    np.testing.assert_allclose(data["z"], [0.1, 0.2, 0.1, 0.1])
    np.testing.assert_array_equal(data["id"], [7, 7, 7, 2**32 - 1])
    np.testing.assert_allclose(data["intensity"], [0.5, 0.5, 0.5, 0.75])
    np.testing.assert_allclose(data["range_std"], [0.3, 0.3, 0.2, 0.4])
    offsets = [(field.name, field.offset, field.datatype) for field in cloud.fields]
    assert offsets == [
        ("x", 0, 7), ("y", 4, 7), ("z", 8, 7), ("intensity", 12, 7), ("id", 16, 6),
        ("range_std", 20, 7),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["none", "unplaced"])
def test_no_contact_point_gives_an_empty_cloud_with_all_fields(kind, stamp, obstacles):
    if kind == "none":
        obstacles = Obstacles(np.zeros((4, 4), bool), None, [], [], [])
    found = posts([Placement() for _ in obstacles.regions], 1.0)
    cloud = messages.obstacle_points(stamp, "base_link", obstacles, found)
    assert (cloud.width, len(cloud.data), len(cloud.fields)) == (0, 0, 6)


def test_free_road_is_a_cloud_of_the_ends_of_beams_on_the_ground(stamp):
    ranges = np.zeros(BEAMS.count)
    ranges[[10, BEAMS.count // 2]] = 5.0, 8.0
    cloud = messages.free_points(stamp, "base_link", BEAMS, ranges, -0.25)
    assert [field.name for field in cloud.fields] == ["x", "y", "z"]
    points = np.frombuffer(cloud.data, GROUND_POINT)
    angle = BEAMS.angles[10]
    np.testing.assert_allclose(points["x"], [5 * np.cos(angle), 8.0], atol=0.02)
    np.testing.assert_allclose(points["y"], [5 * np.sin(angle), 0.0], atol=0.05)
    assert (points["z"] == -0.25).all()


def test_a_scan_has_one_range_for_each_angle(stamp):
    ranges = np.full(BEAMS.count, np.nan, np.float32)
    ranges[:3] = np.inf, 4.5, 29.99
    scan = messages.laser_scan(stamp, "laser", BEAMS, ranges, BeamSettings())
    assert (scan.header.stamp.sec, scan.header.frame_id) == (12, "laser")
    np.testing.assert_array_equal(np.asarray(scan.ranges, np.float32), ranges)
    assert scan.angle_increment == pytest.approx(0.005, rel=0.01)
    span = (scan.angle_max - scan.angle_min) / scan.angle_increment
    assert round(span) == len(scan.ranges) - 1
    assert (scan.range_min, scan.range_max) == pytest.approx((0.1, 30.0))
    assert len(scan.intensities) == 0


def test_footprints_hold_id_and_corners(stamp):
    found = messages.footprint(stamp, "base_link", 7, np.array([[1, 2], [3, 2], [3, 4]]))
    assert (found.header.stamp.sec, found.header.frame_id, found.polygon.id) == (
        12, "base_link", 7,
    )  # fmt: skip
    corners = [(p.x, p.y, p.z) for p in found.polygon.polygon.points]
    assert corners == [(1, 2, 0), (3, 2, 0), (3, 4, 0)]
    assert not messages.footprint(stamp, "base_link", 0, ()).polygon.polygon.points
