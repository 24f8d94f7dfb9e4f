import numpy as np
import pytest

pytest.importorskip("rclpy", reason="messages need rclpy and the built package: scripts/env")

import graph as g
from std_msgs.msg import Header

from objectomaly_ros.geometry.placement import Placement
from objectomaly_ros.obstacles.extraction import find_regions
from objectomaly_ros.obstacles.stage import Obstacles
from objectomaly_ros.ros import messages
from objectomaly_ros.runtime.camera_state import Counters
from objectomaly_ros.runtime.interface import Frame, Result, Timings
from objectomaly_ros.runtime.refiner import Refined
from objectomaly_ros.types import Detection

pytestmark = pytest.mark.ros


@pytest.fixture
def obstacles():
    mask = np.zeros((20, 30), bool)
    mask[5:10, 3:9] = True
    mask[12:14, 20:24] = True
    score = mask * np.float32(0.5)
    score[6, 4] = 0.9
    return Obstacles(mask, None, find_regions(mask, score), [7, 8], [2, 0])


def test_obstacles_say_all_that_is_known(obstacles):
    points = np.array([[6.0, 1.0, 0.0], [5.0, 0.5, 0.0]], np.float32)
    placements = [
        Placement(points, range_m=5.02, nearest=(5.0, 0.5, 0.0), nearest_std=0.2, height=0.6),
        Placement(),
    ]
    array = messages.obstacle_array(Header(frame_id="camera"), obstacles, placements, refined=True)
    assert (array.width, array.height, array.refined) == (30, 20, True)
    near, far = array.obstacles
    assert (near.id, near.age, near.area) == (7, 2, 30)
    assert near.max_score == pytest.approx(0.9)
    assert near.score == pytest.approx((0.5 * 29 + 0.9) / 30)
    box = near.box
    assert (box.x_offset, box.y_offset, box.width, box.height) == (3, 5, 6, 5)
    corners = {(point.x, point.y) for point in near.contour.points}
    assert {(3.0, 5.0), (8.0, 5.0), (8.0, 9.0), (3.0, 9.0)} <= corners
    assert near.range == pytest.approx(5.02)
    assert (near.range_std, near.height) == pytest.approx((0.2, 0.6))
    assert (near.position.x, near.position.y) == (5.0, 0.5)
    assert np.isnan([far.range, far.range_std, far.height]).all()
    assert np.isnan(far.position.x)


def test_without_geometry_ranges_are_unknown(obstacles):
    array = messages.obstacle_array(Header(), obstacles, (), refined=False)
    assert all(np.isnan(obstacle.range) for obstacle in array.obstacles)


def result(refined):
    image = g.picture()
    frame = Frame("front", 1.0, 0.0, g.image_message(1.0))
    score = np.zeros(image.shape[:2], np.float32)
    timings = Timings(0.01, 0.02, 0.003, 0.004, 0.005)
    counters = Counters(received=9, scored=8, dropped=1)
    return Result(
        frame, image, Detection(score), refined, None, timings, 1.5, "size 3 -> 2", counters
    )


def test_status_of_a_refined_and_of_a_coarse_frame():
    score = np.zeros((60, 80), np.float32)
    status = messages.status(Header(), result(Refined(score, 12, 3, 0.3)), 0.06)
    assert (status.camera, status.refined, status.mask_count) == ("front", True, 12)
    assert (status.mask_age_frames, status.mask_age) == (3, pytest.approx(0.3))
    assert status.latency == pytest.approx(0.06)
    assert status.mbp_time == pytest.approx(0.005)
    assert status.mask_generation_time == 1.5
    assert status.detector_adapted == "size 3 -> 2"
    assert (status.frames_received, status.frames_scored, status.frames_dropped) == (9, 8, 1)
    coarse = messages.status(Header(), result(Refined(score)), 0.06)
    assert (coarse.refined, coarse.mask_count, coarse.mask_age_frames) == (False, 0, -1)
    assert np.isnan(coarse.mask_age)
