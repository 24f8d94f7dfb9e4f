"""Detections for vision_msgs and Autoware, which are on no package index: stand-ins check them."""

import importlib

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="messages need rclpy and the built package: scripts/env")

import message_stand_ins as stand_ins
from std_msgs.msg import Header

from objectomaly_ros.geometry.camera_model import CameraModel
from objectomaly_ros.geometry.ground import CameraPose
from objectomaly_ros.geometry.placement import place
from objectomaly_ros.geometry.view import View
from objectomaly_ros.obstacles.extraction import find_regions
from objectomaly_ros.obstacles.stage import Obstacles
from objectomaly_ros.ros import detection_messages

pytestmark = pytest.mark.ros

VIEW = View(CameraModel(500, 500, 320, 180, 640, 360), CameraPose(1.5).matrix(), "base_link")


@pytest.fixture
def installed(monkeypatch):
    stand_ins.package(monkeypatch, "vision_msgs", *stand_ins.VISION)
    stand_ins.package(monkeypatch, "autoware_perception_msgs", *stand_ins.AUTOWARE)
    stand_ins.package(monkeypatch, "tier4_perception_msgs", *stand_ins.TIER4)
    importlib.reload(detection_messages)
    yield detection_messages
    monkeypatch.undo()
    importlib.reload(detection_messages)


@pytest.fixture
def obstacles():
    """One on the road, 10 m away, and one above the horizon with a score of more than 1."""
    mask = np.zeros((360, 640), bool)
    mask[205:256, 300:341] = mask[20:40, 50:70] = True
    score = mask * np.float32(0.75)
    score[20:40, 50:70] = 3.0
    return Obstacles(mask, None, find_regions(mask, score), [7, 8], [2, 0])


def header():
    found = Header(frame_id="camera")
    found.stamp.sec = 12
    return found


def test_only_installed_messages_are_outputs(installed, monkeypatch):
    assert list(installed.kinds()) == ["detections", "objects", "rois"]
    monkeypatch.setattr(installed, "tier4", None)
    assert list(installed.kinds()) == ["detections", "objects"]
    monkeypatch.setattr(installed, "autoware", None)
    monkeypatch.setattr(installed, "vision", None)
    assert installed.kinds() == {}


def test_detections_are_boxes_with_ids_and_scores_up_to_1(installed, obstacles):
    found = installed.detections(header(), obstacles)
    assert (found.header.frame_id, found.header.stamp.sec) == ("camera", 12)
    near, high = found.detections
    assert (near.id, near.header.frame_id) == ("7", "camera")
    assert (near.bbox.center.position.x, near.bbox.center.position.y) == (320.5, 230.5)
    assert (near.bbox.size_x, near.bbox.size_y) == (41.0, 51.0)
    (result,) = near.results
    assert (result.hypothesis.class_id, result.hypothesis.score) == ("anomaly", 0.75)
    assert (high.id, high.results[0].hypothesis.score) == ("8", 1.0)


def test_autowares_objects_are_hazards_with_a_footprint_in_the_base_frame(installed, obstacles):
    placements = place(obstacles.regions, VIEW)
    found = installed.objects(header().stamp, VIEW, obstacles, placements)
    assert (found.header.frame_id, found.header.stamp.sec) == ("base_link", 12)
    (one,) = found.objects  # the other one is not on the ground
    assert one.existence_probability == 0.75
    assert [(c.label, c.probability) for c in one.classification] == [(9, 0.75)]
    pose = one.kinematics.pose_with_covariance
    assert one.kinematics.has_position_covariance
    assert one.kinematics.orientation_availability == 0
    variance = stand_ins.covariance(pose)
    assert variance[0, 0] == variance[1, 1] == pytest.approx(placements[0].nearest_std ** 2)
    assert np.count_nonzero(variance) == 2
    assert one.shape.type == 2
    size, middle = one.shape.dimensions, pose.pose.position
    assert (size.x, size.y) == pytest.approx((0.8, 0.8), abs=0.02)
    assert (middle.x, middle.y) == pytest.approx((10.4, 0.0), abs=0.02)
    assert size.z == pytest.approx(placements[0].height)
    assert middle.z == pytest.approx(size.z / 2)
    corners = np.array([(p.x, p.y) for p in one.shape.footprint.points])
    np.testing.assert_allclose(corners.min(axis=0), [-0.4, -0.4], atol=0.02)
    np.testing.assert_allclose(corners.max(axis=0), [0.4, 0.4], atol=0.02)


def test_older_releases_of_autoware_know_no_hazard(installed, obstacles, monkeypatch):
    monkeypatch.delattr(stand_ins.ObjectClassification, "HAZARD")
    placements = place(obstacles.regions, VIEW)
    found = installed.objects(header().stamp, VIEW, obstacles, placements)
    assert found.objects[0].classification[0].label == 0


def test_rois_are_boxes_of_hazards(installed, obstacles):
    found = installed.rois(header(), obstacles)
    assert found.header.frame_id == "camera"
    near, _ = found.feature_objects
    roi = near.feature.roi
    assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == (300, 205, 41, 51)
    assert near.object.classification[0].label == 9


def test_no_obstacle_gives_empty_messages(installed):
    nothing = Obstacles(np.zeros((4, 4), bool), None, [], [], [])
    assert installed.detections(header(), nothing).detections == []
    assert installed.objects(header().stamp, VIEW, nothing, []).objects == []
    assert installed.rois(header(), nothing).feature_objects == []
