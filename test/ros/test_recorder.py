from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from domains import next_domain

pytest.importorskip("rclpy", reason="recording bags needs rclpy: run under scripts/env")
pytest.importorskip("objectomaly_ros.msg", reason="the messages are not built: run make env")

import rclpy
from objectomaly_ros.msg import Obstacle, ObstacleArray
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import String

from objectomaly_ros.bags.images import read_masks, read_scores
from objectomaly_ros.bags.reader import Bag

pytestmark = pytest.mark.ros


@pytest.fixture
def node():
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=next_domain())  # undisturbed by other tests
    yield rclpy.create_node("talker", namespace="/objectomaly", context=context)
    context.try_shutdown()


def start(node, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "objectomaly_ros.ros.recorder", *map(str, arguments)],
        env=os.environ | {"ROS_DOMAIN_ID": str(node.context.get_domain_id())},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, timeout=60.0):
    deadline = time.monotonic() + timeout
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()
    time.sleep(0.3)


def finish(process, number=signal.SIGINT):
    process.send_signal(number)
    begin = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    return process.returncode, out, err, time.monotonic() - begin


def image(encoding, array, index):
    message = Image()
    message.header.stamp.sec, message.header.stamp.nanosec = 100 + index, 7
    message.header.frame_id = "camera"
    message.height, message.width = array.shape[:2]
    message.encoding, message.step = encoding, array[0].nbytes
    message.data = array.tobytes()
    return message


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_outputs_of_a_node_are_recorded_whole(node, tmp_path, storage, number):
    score = node.create_publisher(Image, "score", 10)
    mask = node.create_publisher(Image, "mask", 10)
    obstacles = node.create_publisher(ObstacleArray, "obstacles", 10)
    other = node.create_publisher(String, "/other", 10)
    process = start(node, "--all", "/objectomaly", "-o", tmp_path / "out", "-s", storage)
    wait_for(lambda: all(p.get_subscription_count() for p in (score, mask, obstacles)))
    random = np.random.default_rng(2)
    scores = [random.random((90, 160), dtype=np.float32) for _ in range(10)]
    for index, values in enumerate(scores):
        score.publish(image("32FC1", values, index))
        mask.publish(image("mono8", (values > 0.5).astype(np.uint8), index))
        message = ObstacleArray(obstacles=[Obstacle(id=index, score=0.5)])
        message.header.frame_id = "camera"
        obstacles.publish(message)
        other.publish(String(data="not wanted"))
        time.sleep(0.02)
    status, out, err, seconds = finish(process, number)
    assert status == 0, err
    assert seconds < 10.0
    assert "10  /objectomaly/score" in out
    with Bag(tmp_path / "out") as bag:
        assert bag.damage is None
        assert {name: t.count for name, t in bag.topics.items()} == {
            "/objectomaly/mask": 10,
            "/objectomaly/obstacles": 10,
            "/objectomaly/score": 10,
        }
        back = list(read_scores(bag, "/objectomaly/score"))
        for frame, values in zip(back, scores, strict=True):
            np.testing.assert_array_equal(frame.array, values)
        assert [frame.stamp_ns for frame in back] == [(100 + i) * 10**9 + 7 for i in range(10)]
        assert abs(back[0].log_time - time.time_ns()) < 60e9
        masks = list(read_masks(bag, "/objectomaly/mask"))
        np.testing.assert_array_equal(masks[3].array, scores[3] > 0.5)
        arrays = [bag.decode(message) for message in bag.messages(["/objectomaly/obstacles"])]
        assert [array.obstacles[0].id for array in arrays] == list(range(10))


def test_topics_stand_before_and_after_options_and_many_latched_messages_are_kept(node, tmp_path):
    latched = QoSProfile(depth=300, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    transforms = node.create_publisher(String, "/tf_static", latched)
    words = node.create_publisher(String, "/words", latched)
    for index in range(300):
        transforms.publish(String(data=str(index)))
    process = start(node, "/tf_static", "-o", tmp_path / "out", "/words")
    wait_for(lambda: transforms.get_subscription_count() and words.get_subscription_count())
    time.sleep(1.0)
    status, _, err, _ = finish(process)
    assert status == 0, err
    with Bag(tmp_path / "out") as bag:
        assert bag.topics["/tf_static"].count == 300
        assert bag.topics["/words"].count == 0


def test_qos_follows_the_publishers(node, tmp_path):
    """Best effort, and a latched message that was published before the recorder came."""
    best_effort = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    fast = node.create_publisher(String, "/fast", best_effort)
    still = node.create_publisher(String, "/still", latched)
    still.publish(String(data="once"))
    process = start(node, "/fast", "/still", "/never", "-o", tmp_path / "out")
    wait_for(lambda: fast.get_subscription_count() and still.get_subscription_count())
    for index in range(20):
        fast.publish(String(data=str(index)))
        time.sleep(0.01)
    status, out, err, _ = finish(process)
    assert status == 0, err
    assert "0  /never  (nobody published it)" in out
    with Bag(tmp_path / "out") as bag:
        assert bag.topics["/still"].count == 1
        assert bag.topics["/fast"].count >= 15
        assert bag.topics["/still"].qos[0].durability.name == "TRANSIENT_LOCAL"
        assert bag.topics["/fast"].qos[0].reliability.name == "BEST_EFFORT"


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_killed_recording_is_readable(node, tmp_path, storage):
    talker = node.create_publisher(String, "/words", 10)
    process = start(node, "/words", "-o", tmp_path / "out", "-s", storage)
    wait_for(lambda: talker.get_subscription_count())
    for index in range(40):
        talker.publish(String(data=str(index)))
        time.sleep(0.1)
    process.kill()
    process.communicate()
    with Bag(tmp_path / "out") as bag:
        heard = [bag.decode(message).data for message in bag.messages()]
        assert bag.damage is not None
    assert len(heard) >= 20
    assert heard == [str(index) for index in range(len(heard))]


def test_a_recording_is_made_small_if_asked_for(node, tmp_path):
    """Scores rounded, of the camera's images the headers alone, all compressed."""
    camera = node.create_publisher(Image, "/image", 10)
    score = node.create_publisher(Image, "score", 10)
    words = node.create_publisher(String, "/words", 10)
    small = ("--compress", "--score-bits", "8", "--headers", "/image", "/words")
    process = start(node, "/objectomaly/score", *small, "-o", tmp_path / "out")
    wait_for(lambda: all(p.get_subscription_count() for p in (camera, score)))
    values = np.random.default_rng(3).random((90, 160), dtype=np.float32)
    for index in range(5):
        camera.publish(image("rgb8", np.zeros((90, 160, 3), np.uint8), index))
        score.publish(image("32FC1", values, index))
        words.publish(String(data="has no header"))
        time.sleep(0.02)
    status, out, err, _ = finish(process)
    assert status == 0, err
    assert "topic /words is not recorded: std_msgs/msg/String has no header" in err
    size = sum(file.stat().st_size for file in (tmp_path / "out").iterdir())
    assert size < 5 * values.nbytes / 2
    assert f"({size / 1e6:.1f} MB)" in out
    with Bag(tmp_path / "out") as bag:
        back = list(read_scores(bag, "/objectomaly/score"))
        np.testing.assert_array_equal(back[4].array, np.round(values * 256) / 256)
        assert bag.topics["/image"].msgtype == "std_msgs/msg/Header"
        headers = [bag.decode(message) for message in bag.messages(["/image"])]
    assert [(header.stamp.sec, header.frame_id) for header in headers] == [
        (100 + index, "camera") for index in range(5)
    ]


def test_a_type_that_is_not_built_here_is_said_and_the_rest_recorded(node, tmp_path):
    """The definition is missing, so a reader could not make sense of the bytes."""
    talker = node.create_publisher(String, "/words", 10)
    code = (
        "import sys, objectomaly_ros.ros.recorder as r\n"
        "from objectomaly_ros.bags.errors import BagError\n"
        "load = r.load_message_type\n"
        "def none(name):\n"
        "    if name == 'sensor_msgs/msg/Image': raise BagError('message type is not there')\n"
        "    return load(name)\n"
        "r.load_message_type = none\n"
        "sys.exit(r.main())\n"
    )
    other = node.create_publisher(Image, "/image", 10)
    process = subprocess.Popen(
        [sys.executable, "-c", code, "/words", "/image", "-o", str(tmp_path / "out")],
        env=os.environ | {"ROS_DOMAIN_ID": str(node.context.get_domain_id())},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: talker.get_subscription_count())
    talker.publish(String(data="hello"))
    other.publish(Image())
    time.sleep(0.3)
    status, out, err, _ = finish(process)
    assert status == 0
    assert "topic /image is not recorded" in err
    assert "1  /words" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to record: name topics"),
        (["/words", "-o", "EXISTING"], "exists already"),
        (["/words", "-o", "/proc/nowhere/bag"], "cannot be written"),
    ],
)
def test_wrong_arguments_give_a_message_and_status_1(node, tmp_path, arguments, words):
    process = start(node, *(tmp_path if word == "EXISTING" else word for word in arguments))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert words in err
    assert "Traceback" not in err
