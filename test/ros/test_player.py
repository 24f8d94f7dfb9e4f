from __future__ import annotations

import os
import signal
import subprocess
import sys
import termios
import threading
import time
from collections import Counter
from contextlib import suppress

import numpy as np
import pytest
from domains import next_domain

pytest.importorskip("rclpy", reason="playing bags needs rclpy: run under scripts/env")

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import SetBool

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.messages import image_message
from objectomaly_ros.bags.playback import Wait
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.bags.writer import BagWriter, offered_qos
from objectomaly_ros.ros.player import DAY_NS, BagPlayer, PlayOptions

pytestmark = pytest.mark.ros

START = 1_700_000_000_000_000_000
STEP = 20_000_000
STRING = "std_msgs/msg/String"


@pytest.fixture
def context():
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=next_domain())  # undisturbed by other tests
    yield context
    context.try_shutdown()


@pytest.fixture
def bag(tmp_path):
    """30 messages on /image and on /words, 50 a second."""
    with BagWriter(tmp_path / "drive") as writer:
        writer.add_topic("/image", "sensor_msgs/msg/Image")
        writer.add_topic("/words", "std_msgs/msg/String", [offered_qos(reliable=False)])
        for index in range(30):
            pixels = np.full((120, 160, 3), index, np.uint8)
            stamp = START + index * STEP
            writer.write("/image", image_message(writer.store, pixels, stamp, "camera"), stamp)
            word = writer.store.types["std_msgs/msg/String"](data=f"word {index}")
            writer.write("/words", word, stamp + 1)
    return tmp_path / "drive"


class Listener:
    """Subscribes in a thread of its own and keeps what comes, with the time of arrival."""

    def __init__(self, context, **topics):
        self.node = rclpy.create_node("listener", context=context)
        self.heard = []
        qos = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
        for name, (kind, topic) in topics.items():
            profile = 100 if kind is Clock else qos
            if kind is String:
                profile = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
            self.node.create_subscription(kind, topic, self._keep(name), profile)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.thread = threading.Thread(target=self._spin, daemon=True)
        self.thread.start()

    def _spin(self):
        with suppress(ExternalShutdownException):  # the test is over
            self.executor.spin()

    def _keep(self, name):
        return lambda message: self.heard.append((name, time.monotonic(), message))

    def of(self, name):
        return [message for kind, _, message in self.heard if kind == name]

    def wait_for(self, name, count, timeout=60.0):
        deadline = time.monotonic() + timeout
        while len(self.of(name)) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.of(name)


def stamp_of(image):
    return image.header.stamp.sec * 10**9 + image.header.stamp.nanosec


def play(context, bag, **options):
    node = rclpy.create_node("player", context=context)
    with Bag(bag) as opened:
        player = BagPlayer(node, opened, PlayOptions(wait_timeout=60.0, **options))
        begin = time.monotonic()
        report = player.play()
        return report, time.monotonic() - begin


def test_every_message_arrives_as_recorded_in_order_and_at_its_pace(context, bag):
    listener = Listener(context, image=(Image, "/image"))
    report, _ = play(context, bag, waits=(Wait(1, "/image"),))
    images = listener.wait_for("image", 30)
    assert [stamp_of(image) for image in images] == [START + i * STEP for i in range(30)]
    assert [image.data[0] for image in images] == list(range(30))
    assert (images[0].width, images[0].height, images[0].encoding) == (160, 120, "rgb8")
    assert images[0].header.frame_id == "camera"
    assert report.counts == {"/image": 30, "/words": 30}
    assert (report.loops, report.stopped, report.damage) == (1, False, None)


def ros_1_bag(folder, words):
    store = get_typestore(Stores.ROS1_NOETIC)
    with Ros1Writer(folder / "drive.bag") as writer:
        connection = writer.add_connection("/words", STRING, typestore=store)
        for index, word in enumerate(words):
            data = store.serialize_ros1(store.types[STRING](data=word), STRING)
            writer.write(connection, START + index * STEP, data)
    return folder / "drive.bag"


def file_of_compressed_messages(folder, words):
    writer = Writer(folder / "drive", version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.MESSAGE, CompressionFormat.ZSTD)
    store = get_typestore(Stores.LATEST)
    with writer:
        connection = writer.add_connection("/words", STRING, typestore=store)
        for index, word in enumerate(words):
            data = store.serialize_cdr(store.types[STRING](data=word), STRING)
            writer.write(connection, START + index * STEP, data)
    (file,) = (folder / "drive").glob("*.mcap")
    return file


@pytest.mark.parametrize("make", [ros_1_bag, file_of_compressed_messages])
def test_what_is_published_is_cdr_whatever_the_bag(context, tmp_path, make):
    words = ["one", "two", "three"]
    path = make(tmp_path, words)
    listener = Listener(context, words=(String, "/words"))
    play(context, path, waits=(Wait(1, "/words"),))
    heard = listener.wait_for("words", 3)
    assert [message.data for message in heard] == words


def test_the_recorded_qos_is_offered(context, bag):
    node = rclpy.create_node("player", context=context)
    with Bag(bag) as opened:
        BagPlayer(node, opened)
        offers = {
            topic: node.get_publishers_info_by_topic(topic)[0].qos_profile.reliability
            for topic in ("/image", "/words")
        }
    assert offers == {
        "/image": ReliabilityPolicy.RELIABLE,
        "/words": ReliabilityPolicy.BEST_EFFORT,
    }


def test_the_rate_changes_the_time_it_takes(context, bag):
    _, normal = play(context, bag)
    _, slow = play(context, bag, rate=0.5)
    assert normal >= 29 * STEP / 1e9
    assert slow >= 2 * 29 * STEP / 1e9


def test_looping_starts_the_stamps_over(context, bag):
    listener = Listener(context, image=(Image, "/image"))
    report, _ = play(context, bag, loop=2, rate=4.0, waits=(Wait(1, "/image"),))
    images = listener.wait_for("image", 60)
    once = [START + i * STEP for i in range(30)]
    assert [stamp_of(image) for image in images] == once + once
    assert report.loops == 2


def test_the_clock_runs_with_the_recording(context, bag):
    listener = Listener(context, clock=(Clock, "/clock"), image=(Image, "/image"))
    report, _ = play(context, bag, clock_hz=50.0, delay=0.5, waits=(Wait(1, "/image"),))
    listener.wait_for("image", 30)
    times = [message.clock.sec * 10**9 + message.clock.nanosec for message in listener.of("clock")]
    assert len(times) >= 10
    assert times == sorted(times)
    assert times[0] >= START
    late = int((report.latest + 1.0) * 1e9)
    assert START + 25 * STEP <= times[-1] <= START + 29 * STEP + late


@pytest.fixture
def drive_with_clock(tmp_path):
    """10 images at 50 Hz, stamped 400 days before their log times, beside a recorded /clock."""
    early = START - 400 * DAY_NS
    with BagWriter(tmp_path / "simulated") as writer:
        writer.add_topic("/image", "sensor_msgs/msg/Image")
        writer.add_topic("/clock", "rosgraph_msgs/msg/Clock")
        for index in range(10):
            log_time, stamp = START + index * STEP, early + index * STEP
            pixels = np.zeros((4, 6, 3), np.uint8)
            writer.write("/image", image_message(writer.store, pixels, stamp, "camera"), log_time)
            types = writer.store.types
            time_of = types["builtin_interfaces/msg/Time"](sec=index, nanosec=0)
            writer.write("/clock", types["rosgraph_msgs/msg/Clock"](clock=time_of), log_time)
    return tmp_path / "simulated"


def clock_times(listener):
    return [message.clock.sec * 10**9 + message.clock.nanosec for message in listener.of("clock")]


@pytest.mark.parametrize("from_stamps", [False, True])
def test_a_recorded_clock_is_left_out_and_there_is_one_clock(
    context, drive_with_clock, from_stamps
):
    listener = Listener(context, clock=(Clock, "/clock"), image=(Image, "/image"))
    report, _ = play(
        context,
        drive_with_clock,
        clock_hz=50.0,
        clock_from_stamps=from_stamps,
        delay=0.3,
        waits=(Wait(1, "/image"),),
    )
    listener.wait_for("image", 10)
    listener.wait_for("clock", 5)
    times = clock_times(listener)
    assert report.counts == {"/image": 10}
    assert times == sorted(times)
    begin = START - 400 * DAY_NS if from_stamps else START
    assert begin <= times[0] <= times[-1] <= begin + DAY_NS


def test_without_a_clock_of_its_own_the_recorded_one_is_played(context, drive_with_clock):
    report, _ = play(context, drive_with_clock)
    assert report.counts == {"/image": 10, "/clock": 10}


def test_the_executable_says_which_clock_it_follows(context, drive_with_clock):
    process = start(context, drive_with_clock, "--clock")
    _, log = process.communicate(timeout=60)
    assert "topic /clock is left out: --clock replaces it" in log
    assert "400.0 days behind the log times, and /clock follows the log times" in log
    assert "--clock-from-stamps" in log
    process = start(context, drive_with_clock, "--clock-from-stamps")
    _, log = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "days" not in log


def test_log_times_may_replace_stamps(context, bag, drive_with_clock):
    listener = Listener(context, image=(Image, "/image"))
    play(context, drive_with_clock, stamps_from_log=True, waits=(Wait(1, "/image"),))
    images = listener.wait_for("image", 10)
    assert [stamp_of(image) for image in images] == [START + k * STEP for k in range(10)]
    assert {(image.header.frame_id, image.width, image.height) for image in images} == {
        ("camera", 6, 4)
    }


@pytest.fixture
def many_static(tmp_path):
    """40 messages on /tf_static and 2 of each of 30 latched publishers, then images for 1 s."""
    with BagWriter(tmp_path / "static") as writer:
        # As recorders write it: of a transient local publisher they do not know the depth.
        latched = offered_qos(transient_local=True, depth=0)
        writer.add_topic("/tf_static", STRING, [latched])
        writer.add_topic("/robot/tf_static", STRING)  # converted bags lose the QoS
        writer.add_topic("/latched", STRING, [latched] * 30)
        writer.add_topic("/image", "sensor_msgs/msg/Image")
        word = writer.store.types[STRING]
        for index in range(40):
            for topic in ("/tf_static", "/robot/tf_static"):
                writer.write(topic, word(data=f"{topic} {index}"), START + index)
        for index in range(30):
            writer.write("/latched", word(data=f"latched {index}"), START + 100 + index)
        for index in range(11):
            stamp = START + index * 5 * STEP
            pixels = np.full((4, 6, 3), index, np.uint8)
            writer.write("/image", image_message(writer.store, pixels, stamp, "camera"), stamp)
    return tmp_path / "static"


def late_listener(context, topic):
    heard = []
    node = rclpy.create_node("late", context=context)
    profile = QoSProfile(depth=200, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_subscription(String, topic, lambda message: heard.append(message.data), profile)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    end = time.monotonic() + 3.0
    while time.monotonic() < end:
        executor.spin_once(timeout_sec=0.1)
    return heard


@pytest.mark.parametrize("options", [{}, {"loop": 2}, {"start_offset": 0.6}], ids=str)
def test_a_late_subscriber_gets_all_static_transforms(context, many_static, options):
    node = rclpy.create_node("player", context=context)
    with Bag(many_static) as opened:
        player = BagPlayer(node, opened, PlayOptions(rate=4.0, **options))
        report = player.play()
        for topic in ("/tf_static", "/robot/tf_static"):
            assert late_listener(context, topic) == [f"{topic} {k}" for k in range(40)]
        assert late_listener(context, "/latched") == [f"latched {k}" for k in range(30)]
    images = 11 * options.get("loop", 1) if "start_offset" not in options else 5
    assert report.counts["/image"] == images


def test_a_topic_whose_name_ros_2_refuses_is_left_out(context, tmp_path):
    with BagWriter(tmp_path / "odd") as writer:
        for topic in ("/3d scan", "/fine"):
            writer.add_topic(topic, STRING)
            writer.write(topic, writer.store.types[STRING](data="x"), START)
    report, _ = play(context, tmp_path / "odd")
    assert report.counts == {"/fine": 1}


def test_a_tiny_rate_waits_until_it_is_stopped(context, bag):
    node, stop = rclpy.create_node("player", context=context), threading.Event()
    threading.Timer(1.0, stop.set).start()
    with Bag(bag) as opened:
        assert BagPlayer(node, opened, PlayOptions(rate=1e-300), stop).play().stopped


@pytest.mark.parametrize(
    "options",
    [{name: value} for name in ("clock_hz", "delay", "wait_timeout")
     for value in (float("nan"), float("inf"), -1.0)],
    ids=str,
)  # fmt: skip
def test_options_that_would_play_otherwise_than_meant_are_refused(context, bag, options):
    node = rclpy.create_node("player", context=context)
    with Bag(bag) as opened, pytest.raises(BagError, match=r"of (nan|inf|-1\.0) makes no sense"):
        BagPlayer(node, opened, PlayOptions(**options))


def test_a_start_beyond_the_end_is_refused(context, bag):
    node = rclpy.create_node("player", context=context)
    for offset in (-1.0, 7.0):
        with Bag(bag) as opened, pytest.raises(BagError, match=r"cannot start at .* has 0\.6 s"):
            BagPlayer(node, opened, PlayOptions(start_offset=offset))


def test_a_gap_of_decades_is_skipped(context, tmp_path):
    """A recorder that waits for /clock may log its first message at 0."""
    with BagWriter(tmp_path / "gap") as writer:
        writer.add_topic("/words", STRING)
        word = writer.store.types[STRING]
        for time_ns in (0, START, START + STEP):
            writer.write("/words", word(data=str(time_ns)), time_ns)
    listener = Listener(context, words=(String, "/words"), clock=(Clock, "/clock"))
    _, seconds = play(context, tmp_path / "gap", clock_hz=50.0, waits=(Wait(1, "/words"),))
    assert len(listener.wait_for("words", 3)) == 3
    assert seconds < 60
    times = clock_times(listener)
    assert times == sorted(times)
    assert times[-1] >= START


def test_a_bag_of_one_message_has_a_clock(context, tmp_path):
    with BagWriter(tmp_path / "one") as writer:
        writer.add_topic("/words", STRING)
        writer.write("/words", writer.store.types[STRING](data="x"), START)
    listener = Listener(context, words=(String, "/words"), clock=(Clock, "/clock"))
    play(context, tmp_path / "one", clock_hz=50.0, delay=0.5, waits=(Wait(1, "/words"),))
    assert len(listener.wait_for("words", 1)) == 1
    (first, *_) = clock_times(listener)
    assert START <= first < START + 10**9


def test_a_type_that_changed_since_the_recording_is_told_and_left_out(context, tmp_path):
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg("string data\nuint8 more", STRING))
    with Writer(tmp_path / "old", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for topic, kind in (("/words", STRING), ("/good", "std_msgs/msg/Bool")):
            types = store if kind == STRING else get_typestore(Stores.LATEST)
            connection = writer.add_connection(topic, kind, typestore=types)
            values = ("x", 3) if kind == STRING else (True,)
            writer.write(connection, START, types.serialize_cdr(types.types[kind](*values), kind))
    process = start(context, tmp_path / "old")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "/words is left out: std_msgs/msg/String has the fields data, more in the bag" in err
    assert "and data on this machine" in err
    assert "1  /good" in out
    assert "/words" not in out


def test_messages_of_another_type_than_their_topic_are_told_and_left_out(context, tmp_path):
    store, boolean = get_typestore(Stores.LATEST), "std_msgs/msg/Bool"
    with Writer(tmp_path / "two", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        words = writer.add_connection("/words", STRING, typestore=store)
        others = writer.add_connection("/words", boolean, typestore=store)
        for index in range(3):
            word = store.serialize_cdr(store.types[STRING](data="x"), STRING)
            writer.write(words, START + index, word)
            other = store.serialize_cdr(store.types[boolean](data=True), boolean)
            writer.write(others, START + index, other)
    process = start(context, tmp_path / "two")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "3  /words" in out
    assert "messages of /words that are std_msgs/msg/Bool, not std_msgs/msg/String, are" in err


def call_pause(context, on):
    node = rclpy.create_node("controller", context=context)
    client = node.create_client(SetBool, "/play_bag/pause")
    assert client.wait_for_service(30)
    future = client.call_async(SetBool.Request(data=on))
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    executor.spin_until_future_complete(future, 30)
    return future.result()


def test_a_service_pauses_and_the_clock_stands_still(context, bag):
    listener = Listener(context, clock=(Clock, "/clock"), image=(Image, "/image"))
    process = start(
        context, bag, "--start-paused", "--clock", "50", "--wait-for-subscribers", "1/image"
    )
    listener.wait_for("clock", 10)
    assert listener.of("image") == []
    assert set(clock_times(listener)) == {START}
    answer = call_pause(context, False)
    assert (answer.success, answer.message) == (True, "playing")
    assert len(listener.wait_for("image", 30)) == 30
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "30  /image" in out


def test_the_space_bar_pauses(context, bag):
    listener = Listener(context, image=(Image, "/image"))
    ours, theirs = os.openpty()
    before = termios.tcgetattr(ours)
    arguments = [bag, "--start-paused", "--wait-for-subscribers", "1/image"]
    # A session of its own, whose terminal this is, as a shell would start it.
    program = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    program += "os.execv(sys.executable, [sys.executable, '-m', 'objectomaly_ros.ros.play_bag', "
    program += "*sys.argv[1:]])"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=os.environ | {"ROS_DOMAIN_ID": str(context.get_domain_id())},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for line in process.stdout:
        if "playing" in line:
            break
    time.sleep(0.5)
    assert listener.of("image") == []
    os.write(ours, b"x ")
    assert len(listener.wait_for("image", 30)) == 30
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert termios.tcgetattr(ours) == before
    os.close(ours)
    os.close(theirs)


def test_a_second_clock_in_the_graph_is_told(context, bag):
    other = rclpy.create_node("simulator", context=context)
    other.create_publisher(Clock, "/clock", 10)
    listener = Listener(context, image=(Image, "/image"))
    process = start(context, bag, "--clock", "--wait-for-subscribers", "1/image")
    _, log = process.communicate(timeout=60)
    assert listener.of("image")
    assert "another node publishes /clock, too" in log


def test_topics_are_chosen_and_renamed(context, bag):
    listener = Listener(context, image=(Image, "/front/image"))
    report, _ = play(
        context,
        bag,
        topics=("/image",),
        remap={"/image": "/front/image"},
        waits=(Wait(1, "/image"),),
    )
    assert len(listener.wait_for("image", 30)) == 30
    assert report.counts == {"/front/image": 30}


def test_nobody_listens_and_the_message_says_so(context, bag):
    node = rclpy.create_node("player", context=context)
    options = PlayOptions(waits=(Wait(1, "/image"),), wait_timeout=0.3)
    with (
        Bag(bag) as opened,
        pytest.raises(BagError, match=r"no subscriber came within 0\.3 s") as e,
    ):
        BagPlayer(node, opened, options).play()
    assert "/image" in str(e.value)
    assert "QoS" in str(e.value)


def test_waiting_for_a_topic_that_is_not_played(context, bag):
    node = rclpy.create_node("player", context=context)
    options = PlayOptions(waits=(Wait(1, "/sound"),))
    with Bag(bag) as opened, pytest.raises(BagError, match="/sound: it is not played, but /image"):
        BagPlayer(node, opened, options).play()


def test_a_type_that_is_not_built_here_is_left_out(context, bag, tmp_path, monkeypatch):
    folder = tmp_path / "share" / "farm_msgs" / "msg"
    folder.mkdir(parents=True)
    (folder / "Herd.msg").write_text("uint8 cows\n")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path), prepend=os.pathsep)
    with BagWriter(tmp_path / "farm") as writer:
        writer.add_topic("/herd", "farm_msgs/msg/Herd")
        writer.write("/herd", writer.store.types["farm_msgs/msg/Herd"](cows=3), START)
    node = rclpy.create_node("player", context=context)
    with Bag(tmp_path / "farm") as opened, pytest.raises(BagError, match="nothing to play"):
        BagPlayer(node, opened)


def start(context, *arguments):
    environment = os.environ | {"ROS_DOMAIN_ID": str(context.get_domain_id())}
    return subprocess.Popen(
        [sys.executable, "-m", "objectomaly_ros.ros.play_bag", *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_executable_plays_to_another_process_and_returns_0(context, bag):
    listener = Listener(context, image=(Image, "/image"), words=(String, "/words"))
    process = start(context, bag, "--wait-for-subscribers", "1", "--rate", "2")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "30  /image" in out
    assert len(listener.wait_for("image", 30)) == 30
    assert Counter(kind for kind, _, _ in listener.heard)["words"] > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_soon(context, bag, number):
    listener = Listener(context, image=(Image, "/image"))
    process = start(context, bag, "--loop", "forever", "--clock")
    assert listener.wait_for("image", 40)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)  # a second where the machine is not busy
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "stopped" in out


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["nowhere"], 1, "no bag at nowhere"),
        (["BAG", "--topics", "/sound"], 1, "topic /sound is not in"),
        (["BAG", "--remap", "/image"], 1, "no rule OLD:=NEW"),
        (["BAG", "--rate", "0"], 1, "a rate of 0.0 makes no sense"),
        (["BAG", "--loop", "0"], 2, "neither a count from 1 on nor 'forever'"),
        (["BAG", "--wait-for-subscribers", "x"], 1, "no [COUNT][/TOPIC]"),
    ],
)
def test_wrong_arguments_give_a_message_and_a_status(context, bag, arguments, status, words):
    process = start(context, *(bag if word == "BAG" else word for word in arguments))
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert words in err
    assert "Traceback" not in err
