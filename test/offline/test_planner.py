"""The outputs for planners of a recording: those of the node, with the ids of the whole."""

import numpy as np
import pytest
from offline_drives import contents, job, process
from offline_robots import make_robot

from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.geometry.clouds import GROUND_POINT, POINT
from objectomaly_ros.geometry.footprint import NO_OBSTACLE
from objectomaly_ros.offline import planner
from objectomaly_ros.ros.parameters import BY_NAME


def messages(place, output):
    with Bag(place.bag) as bag:
        return [bag.decode(raw) for raw in bag.messages([f"/objectomaly/{output}"])]


@pytest.fixture
def place(tmp_path):
    """A processed recording, whose box is out of sight in the second frame."""
    path = make_robot(tmp_path / "robot", hidden=(1,))
    return process(path, tmp_path / "out", job(roi="road", masks_every=1), segment_frames=2)


def test_posts_have_the_ids_of_the_obstacles(place):
    arrays, clouds = messages(place, "obstacles"), messages(place, "points")
    assert len(clouds) == len(arrays) == 4
    for array, cloud in zip(arrays, clouds, strict=True):
        assert cloud.header.frame_id == "base_link"
        assert cloud.header.stamp == array.header.stamp
        points = np.frombuffer(bytes(cloud.data), POINT)
        assert set(points["id"].tolist()) == {one.id for one in array.obstacles}
        if array.obstacles:
            (one,) = array.obstacles
            assert np.hypot(points["x"], points["y"]).min() == pytest.approx(one.range, abs=0.01)
            assert points["z"].min() == pytest.approx(0.1, abs=0.01)
    assert [len(array.obstacles) for array in arrays] == [1, 0, 1, 1]


def test_scan_and_free_road_end_at_the_obstacle(place):
    arrays, scans, clouds = (messages(place, name) for name in ("obstacles", "scan", "free"))
    assert len(scans) == len(clouds) == 4
    for array, scan, cloud in zip(arrays, scans, clouds, strict=True):
        ranges = np.array(scan.ranges)
        assert scan.angle_increment > 0
        assert cloud.header.frame_id == scan.header.frame_id == "base_link"
        assert len(np.frombuffer(bytes(cloud.data), GROUND_POINT))
        near = ranges[ranges < 29]
        if array.obstacles:
            assert near.min() == pytest.approx(array.obstacles[0].range, abs=0.05)
        else:
            assert not len(near)


def test_a_footprint_without_corners_replaces_one_that_is_gone(place):
    found = [
        (f.polygon.id, len(f.polygon.polygon.points) > 2) for f in messages(place, "footprints")
    ]
    assert found == [
        *[(NO_OBSTACLE, False), (1, True)],
        *[(1, False), (NO_OBSTACLE, False)],
        *[(NO_OBSTACLE, False), (1, True)],
        *[(NO_OBSTACLE, False), (1, True)],
    ]


def test_segments_change_nothing(place, tmp_path):
    options = job(roi="road", masks_every=1)
    whole = process(tmp_path / "robot", tmp_path / "whole", options, segment_frames=100)
    assert contents(whole.bag) == contents(place.bag)


def test_without_a_place_of_the_camera_there_are_no_such_outputs(make_drive, tmp_path):
    with Bag(process(make_drive(count=2), tmp_path / "out", job()).bag) as bag:
        assert not {"/objectomaly/points", "/objectomaly/scan"} & set(bag.topics)


def test_the_numbers_are_the_defaults_of_the_node():
    for value, name in (
        (planner.MAX_RANGE_M, "points.max_range"),
        (planner.MAX_RELATIVE_ERROR, "points.max_relative_error"),
        (planner.POST_HEIGHT_M, "points.height"),
        (planner.BEAMS.range_min, "scan.range_min"),
        (planner.BEAMS.range_max, "scan.range_max"),
        (planner.BEAMS.increment, "scan.angle_increment"),
    ):
        assert value == BY_NAME[name].default
