"""What planners take of the real node, and of PlannerOutputs alone."""

from types import SimpleNamespace

import numpy as np
import pytest
from domains import next_domain

pytest.importorskip("rclpy", reason="the node needs rclpy and built messages: scripts/env")

import graph as g
from geometry_msgs.msg import PolygonInstanceStamped
from ground_scenes import PINHOLE, road_under, view_of
from objectomaly_ros.msg import RefinementStatus
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, LaserScan, PointCloud2

from objectomaly_ros.geometry.placement import place
from objectomaly_ros.obstacles.extraction import find_regions
from objectomaly_ros.obstacles.stage import Obstacles
from objectomaly_ros.ros import planner_outputs
from objectomaly_ros.ros.parameters import SPECS
from objectomaly_ros.ros.planner_outputs import PlannerOutputs
from objectomaly_ros.types import Detection

pytestmark = pytest.mark.ros

VIEW = view_of(PINHOLE)
VALUES = {spec.name: spec.default for spec in SPECS}


class Listener:
    """PlannerOutputs with a list of what it publishes."""

    def __init__(self, *wanted, transform=None, **values):
        self.wanted, self.sent, self.warnings = set(wanted), [], []
        self.values = VALUES | {name.replace("__", "."): value for name, value in values.items()}
        poses = SimpleNamespace(transform=lambda target, source, stamp: transform)
        self.outputs = PlannerOutputs(
            "", lambda: self.values, lambda: 0.5, poses,
            lambda key, text: self.warnings.append(text), self.wanted.__contains__,
            lambda output, message: self.sent.append((output, message)),
        )  # fmt: skip

    def show(self, *boxes, ids=None, road=True, stamp=1.0):
        """Publish for an image with obstacles in boxes (rows, columns); return the messages."""
        mask = np.zeros((360, 640), bool)
        for rows, columns in boxes:
            mask[slice(*rows), slice(*columns)] = True
        score = mask.astype(np.float32)
        regions = find_regions(mask, score)
        ids = list(range(1, 1 + len(regions))) if ids is None else ids
        result = SimpleNamespace(
            frame=SimpleNamespace(message=g.image_message(stamp)),
            detection=Detection(score, road_under(VIEW) if road else None),
            refined=SimpleNamespace(score=score),
        )
        obstacles = Obstacles(mask, None, regions, ids, [0] * len(ids))
        self.sent.clear()
        self.outputs.publish(result, obstacles, VIEW, place(regions, VIEW, max_range=60.0))
        return list(self.sent)

    def one(self, *boxes, **fields):
        ((_, message),) = self.show(*boxes, **fields)
        return message


NEAR, FAR = ((205, 256), (300, 341)), ((190, 220), (500, 530))  # 10 m and 19 m


def free_ends(cloud):
    return np.frombuffer(cloud.data, np.float32).reshape(-1, 3)


def test_nothing_is_computed_while_nobody_listens(monkeypatch):
    for name in ("posts", "Beams", "footprints", "free_pixels", "scan_ranges"):
        monkeypatch.setattr(planner_outputs, name, None)
    assert Listener().show(NEAR) == []


@pytest.mark.parametrize("output", ["points", "scan", "free"])
def test_an_empty_road_gives_a_message_on_every_image(output):
    listener = Listener(output)
    message = listener.one(stamp=3.5)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (3, 500_000_000)
    assert message.header.frame_id == "base_link"
    if output == "points":
        assert message.width == 0
    elif output == "free":
        assert np.hypot(*free_ends(message)[3:-3, :2].T) == pytest.approx(30.0, rel=1e-5)
    else:
        np.testing.assert_allclose(message.ranges[3:-3], 29.99, rtol=1e-6)


def test_free_road_and_scan_agree_about_an_obstacle():
    listener = Listener("free", "scan", scan__inf_is_valid=True)
    sent = dict(listener.show(NEAR))
    scan, ends = sent["scan"], free_ends(sent["free"])
    ranges = np.array(scan.ranges)
    hit = np.isfinite(ranges)
    assert ranges[hit].min() == pytest.approx(10.0, rel=1e-3)
    angles = scan.angle_min + scan.angle_increment * np.arange(len(ranges))
    bearings = np.arctan2(ends[:, 1], ends[:, 0])
    before = np.abs(bearings[:, None] - angles[hit]).min(axis=1) < scan.angle_increment / 2
    assert before.sum() == hit.sum()
    assert (np.hypot(*ends[before, :2].T) < 9.8).all()
    assert (ends[:, 2] == 0).all()


def test_without_a_road_there_is_no_free_output_and_the_scan_knows_no_free_road():
    listener = Listener("free", "scan")
    ((output, scan),) = listener.show(NEAR, road=False)
    assert output == "scan"
    ranges = np.array(scan.ranges)
    assert np.nanmax(ranges) == pytest.approx(10.0, rel=0.01)
    assert np.isnan(ranges).sum() > 100
    assert "does not segment the road" in listener.warnings[0]


def corners(message):
    return len(message.polygon.polygon.points)


def test_footprints_replace_those_of_obstacles_that_are_gone():
    listener = Listener("footprints")
    both = [message for _, message in listener.show(NEAR, FAR, ids=[7, 9])]
    assert [(m.polygon.id, corners(m) > 2) for m in both] == [(0, False), (9, True), (7, True)]
    one = [message for _, message in listener.show(FAR, ids=[9])]
    assert [(m.polygon.id, corners(m) > 2) for m in one] == [(7, False), (0, False), (9, True)]
    none = [message for _, message in listener.show()]
    assert [(m.polygon.id, corners(m)) for m in none] == [(9, 0), (0, 0)]
    alive = [message for _, message in listener.show(stamp=2.0)]
    assert [(m.polygon.id, m.header.stamp.sec) for m in alive] == [(0, 2)]


def test_an_obstacle_above_the_horizon_has_no_footprint():
    sent = Listener("footprints").show(((20, 60), (100, 140)))
    assert [message.polygon.id for _, message in sent] == [0]


def test_scan_and_free_road_may_be_in_a_frame_of_their_own():
    ahead = np.eye(4)
    ahead[:3, 3] = -2.0, 0.0, -0.25  # the scan's origin is 2 m ahead and 0.25 m up
    listener = Listener("scan", "free", transform=ahead, scan__frame="laser")
    sent = dict(listener.show(NEAR))
    assert sent["scan"].header.frame_id == sent["free"].header.frame_id == "laser"
    ranges = np.array(sent["scan"].ranges)
    assert np.nanmin(ranges) == pytest.approx(8.0, rel=1e-3)
    assert (free_ends(sent["free"])[:, 2] == -0.25).all()


OPTICAL = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]


@pytest.mark.parametrize("turn", [None, OPTICAL, np.full((3, 3), np.nan)])
def test_a_scans_frame_that_is_unknown_or_leans_is_not_used(turn):
    transform, leans = None, turn is not None
    if leans:
        transform = np.eye(4)
        transform[:3, :3] = turn
    listener = Listener("scan", transform=transform, scan__frame="laser")
    assert listener.one().header.frame_id == "base_link"
    assert ("is not level" if leans else "TF has no transform") in listener.warnings[0]


def test_parameters_hold_for_the_next_image():
    listener = Listener("scan", "points")
    before = dict(listener.show(NEAR))
    listener.values |= {"scan.range_max": 12.0, "points.height": 0.3, "scan.inf_is_valid": True}
    after = dict(listener.show(NEAR))
    assert (before["scan"].range_max, after["scan"].range_max) == (30.0, 12.0)
    assert np.isposinf(after["scan"].ranges).sum() > 150
    assert after["points"].width == 3 * before["points"].width // 10


@pytest.fixture(scope="module")
def node():
    """A real node and a graph beside it."""
    domain = next_domain()
    process = g.NodeProcess(domain, **{"masks.name": "none"})
    process.wait_log("active on cpu")
    graph = g.Graph(domain)
    yield process, graph
    graph.close()
    process.close()


def test_planners_receive_all_outputs_with_their_own_quality_of_service(node):
    """Nav2 subscribes to everything best effort, as sensor data."""
    process, graph = node
    kinds = {
        "points": PointCloud2, "scan": LaserScan, "free": PointCloud2,
        "footprints": PolygonInstanceStamped,
    }  # fmt: skip
    got = {
        name: graph.listen(kind, f"{g.NODE}/{name}", qos_profile_sensor_data)
        for name, kind in kinds.items()
    }
    statuses = graph.listen(RefinementStatus, f"{g.NODE}/status")
    images = graph.publisher("/image")
    images.publish(g.image_message(1.0))
    process.wait_log("no /objectomaly/points, /objectomaly/scan, /objectomaly/free, /objectomaly/")
    graph.publisher("/camera_info", CameraInfo).publish(g.camera_info())

    def placed():
        before = len(statuses)
        images.publish(g.image_message(2.0))
        g.wait_for(lambda: len(statuses) > before, "a status")
        return statuses[-1].healthy

    g.wait_for(placed, "the camera's pose")
    image = g.image_message(3.25)
    images.publish(image)

    def of_the_image(name):  # those of earlier images may still be under way
        return [message for message in got[name] if message.header.stamp == image.header.stamp]

    g.wait_for(lambda: all(map(of_the_image, got)), "all outputs")
    g.wait_for(lambda: len(of_the_image("footprints")) > 1, "both footprints")
    scan, free = of_the_image("scan")[0], of_the_image("free")[0]
    for name in got:
        assert {message.header.frame_id for message in of_the_image(name)} == {"base_link"}
    ranges = np.array(scan.ranges)
    # The box stands 1.5 * 80 / 21 m away; the grey road is seen to the horizon.
    assert np.nanmin(ranges) == pytest.approx(120 / 21, rel=0.02)
    assert np.nanmax(ranges) == pytest.approx(29.99)
    assert free.width >= np.isfinite(ranges).sum()  # also beside the box
    assert sorted(corners(one) > 2 for one in of_the_image("footprints")) == [False, True]
    before = len(got["points"])
    # A camera that sees no ground says nothing: an empty cloud would read as a free road.
    graph.set("points.camera_pitch", -1.5)
    images.publish(g.image_message(4.0))
    g.wait_for(lambda: not statuses[-1].healthy, "the problem")
    assert "looks along" in statuses[-1].problem
    assert len(got["points"]) == before
    graph.set("points.camera_pitch", 0.0)
    images.publish(g.image_message(5.0))
    g.wait_for(lambda: len(got["points"]) > before, "points again")
