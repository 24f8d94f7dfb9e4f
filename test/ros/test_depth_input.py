import array
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from domains import next_domain

pytest.importorskip("rclpy", reason="messages need rclpy: scripts/env")

import graph as g
from builtin_interfaces.msg import Time
from objectomaly_ros.msg import ObstacleArray
from sensor_msgs.msg import CameraInfo

from objectomaly_ros.arrays.image_messages import decode_depth
from objectomaly_ros.ros import depth_input
from objectomaly_ros.ros.depth_input import KEPT, DepthInput

pytestmark = pytest.mark.ros

SHAPE = (60, 80)


def depth_message(stamp, metres=4.0, shape=SHAPE, encoding="16UC1", big=False):
    kind = np.dtype(np.uint16 if encoding == "16UC1" else np.float32)
    values = np.full(shape, metres * 1000 if encoding == "16UC1" else metres, kind)
    message = g.image_message(
        stamp, values.astype(kind.newbyteorder(">" if big else "<")), encoding
    )
    message.is_bigendian = int(big)
    return message


def stamp(seconds):
    return g.image_message(seconds).header.stamp


@pytest.fixture
def warnings():
    return []


@pytest.fixture
def depth(warnings):
    return DepthInput("/depth", 10**6, lambda key, text: warnings.append(text))


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch):
    monkeypatch.setattr(depth_input, "WAIT_S", 0.01)


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
@pytest.mark.parametrize("big", [False, True])
def test_the_depth_of_a_frame_is_that_with_its_stamp(depth, encoding, big):
    for k in range(5):
        depth.take(depth_message(1 + k / 10, 2.0 + k, encoding=encoding, big=big))
    found = depth.of(stamp(1.2), SHAPE)
    assert (found.dtype, found.shape) == (np.float32, SHAPE)
    assert found == pytest.approx(4.0)
    assert depth.of(stamp(1.25), SHAPE) is None
    assert depth.of(stamp(1.31), SHAPE) == pytest.approx(5.0)  # nearly its stamp
    assert depth.counts() == {"frames with depth": 2, "frames without depth": 1}
    assert depth.problem() is None


def test_rows_may_be_padded(depth):
    message = depth_message(1.0)
    wide = np.full((60, 100), 999, np.uint16)
    wide[:, :80] = 3000
    message.step, message.data = 200, array.array("B", wide.tobytes())
    depth.take(message)
    assert depth.of(stamp(1.0), SHAPE) == pytest.approx(3.0)


def test_a_frame_waits_for_the_depth_on_its_way_but_not_for_a_silent_topic(depth, monkeypatch):
    monkeypatch.setattr(depth_input, "WAIT_S", 20.0)
    assert depth.of(stamp(1.0), SHAPE) is None  # no depth at all
    depth.take(depth_message(0.9))
    later = threading.Timer(0.1, depth.take, [depth_message(1.0, 7.0)])
    later.start()
    assert depth.of(stamp(1.0), SHAPE) == pytest.approx(7.0)
    assert depth.of(stamp(0.95), SHAPE) is None  # a newer one is there: it will not come
    later.join()


def test_the_wait_ends(depth):
    depth.take(depth_message(0.9))
    began = time.monotonic()
    assert depth.of(stamp(1.0), SHAPE) is None
    assert time.monotonic() - began < 5


def test_old_depth_images_make_room_for_new_ones(depth):
    for k in range(KEPT + 5):
        depth.take(depth_message(10 + k, 1.0))
    assert depth.of(stamp(14), SHAPE) is None
    assert depth.of(stamp(15), SHAPE) is not None


def test_a_bag_that_loops_starts_anew(depth):
    depth.take(depth_message(100.0, 1.0))
    depth.take(depth_message(3.0, 2.0))
    assert depth.of(stamp(3.0), SHAPE) == pytest.approx(2.0)
    assert depth.of(stamp(100.0), SHAPE) is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"encoding": "rgb8"}, "its encoding is 'rgb8'; depth is 16UC1 in mm or 32FC1 in m"),
        ({"encoding": "16UC1; compressedDepth"}, "depth is 16UC1 in mm"),
        ({"width": 0}, "empty"),
        ({"step": 10}, "step is 10"),
        ({"height": 61}, "too short"),
        ({"width": 5000, "height": 5000}, "pixels"),
        ({"data": array.array("B")}, "too short"),
        ({"height": 30}, "give depth that is aligned to the image"),
    ],
)
def test_bad_depth_is_told_and_the_next_one_taken(depth, warnings, changes, told):
    bad = depth_message(1.0)
    for name, value in changes.items():
        setattr(bad, name, value)
    depth.take(bad)
    assert depth.of(stamp(1.0), SHAPE) is None
    assert told in warnings[0]
    assert told in depth.problem()
    depth.take(depth_message(2.0))
    assert depth.of(stamp(2.0), SHAPE) is not None
    assert depth.problem() is None


def test_silence_is_told():
    now = SimpleNamespace(s=50.0)
    depth = DepthInput("/depth", 10**6, pytest.fail, lambda: now.s)
    assert depth.problem() == "no depth yet on /depth: the ground plane places obstacles"
    depth.take(depth_message(1.0))
    assert depth.problem() is None
    now.s += 5
    assert depth.problem() == "no more depth on /depth: the ground plane places obstacles"


def test_stamps_of_any_kind_are_survived(depth):
    for seconds in (-(2**31), 0, 2**31 - 1):
        message = depth_message(1.0)
        message.header.stamp = Time(sec=seconds)
        depth.take(message)
        depth.of(message.header.stamp, SHAPE)


def test_obstacles_of_the_node_stand_where_depth_says():
    domain = next_domain()
    node = g.NodeProcess(domain, **{"depth.use": True, "masks.name": "none"})
    graph = g.Graph(domain)
    try:
        node.wait_log("active on")
        obstacles = graph.listen(ObstacleArray, f"{g.NODE}/obstacles")
        graph.publisher("/camera_info", CameraInfo).publish(g.camera_info())
        depths, images = graph.publisher("/depth"), graph.publisher("/image")

        def ranges_with(*messages):
            """Ranges of the obstacle in the next frame, after these depth images."""
            ranges_with.now += 10
            for message in messages:
                message.header.stamp.sec = ranges_with.now
                depths.publish(message)
            time.sleep(0.1)
            images.publish(g.image_message(ranges_with.now))
            of_frame = [(ranges_with.now, 0)]
            g.wait_for(lambda: of_frame[0] in g.stamps(obstacles), "the frame's obstacles")
            (found,) = (one for one in obstacles if g.stamps([one]) == of_frame)
            return found.obstacles[0]

        ranges_with.now = 1000
        g.wait_for(lambda: np.isfinite(ranges_with().range), "the camera's pose")
        flat = 1.5 * 80 / 21
        assert ranges_with().range == pytest.approx(flat, rel=0.05)
        by_depth = ranges_with(depth_message(1.0, 3.0))
        assert by_depth.range == pytest.approx(3.0, rel=0.05)
        assert by_depth.range_std < 0.1
        assert by_depth.position.z > 0.5
        small = depth_message(1.0, 3.5, (30, 40), "32FC1")
        assert ranges_with(small).range == pytest.approx(3.5, rel=0.05)
        bad = depth_message(1.0)
        bad.encoding = "rgb8"
        assert ranges_with(bad).range == pytest.approx(flat, rel=0.05)
        assert "depth on /depth is not used: its encoding is 'rgb8'" in node.log
        _, message, values = graph.diagnostics()["objectomaly: camera"]
        assert int(values["frames with depth"]) == 2
        assert "not used: its encoding" in message or "no more depth" in message
    finally:
        graph.close()
        node.close()


@pytest.mark.parametrize("big", [False, True])
def test_the_largest_16_bit_value_is_a_hole(big):
    """Else an obstacle would be placed 65.5 m away, out of range, and be missing."""
    depth = decode_depth(depth_message(1, 65.535, big=big))
    assert depth.dtype == np.float32
    assert (depth == 0).all()
    assert (decode_depth(depth_message(1, 4.0, big=big)) == 4).all()
