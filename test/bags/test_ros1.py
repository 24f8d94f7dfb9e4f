"""ROS 1 bags, written by rosbags."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial

import numpy as np
import pytest
from rosbags.interfaces import QosDurability
from rosbags.rosbag1 import Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from objectomaly_ros.bags import ros1
from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.images import read_images
from objectomaly_ros.bags.reader import Bag

STORE = get_typestore(Stores.ROS1_NOETIC)
IMAGE, INFO, STRING = (
    "sensor_msgs/msg/Image",
    "sensor_msgs/msg/CameraInfo",
    "std_msgs/msg/String",
)
START = 1_500_000_000_000_000_000
COMPRESSIONS = [None, Writer.CompressionFormat.BZ2, Writer.CompressionFormat.LZ4]


def header(index):
    stamp = STORE.types["builtin_interfaces/msg/Time"](sec=1_500_000_000, nanosec=index)
    return STORE.types["std_msgs/msg/Header"](seq=index, stamp=stamp, frame_id="camera")


def image(index):
    pixels = np.full((4, 6, 3), index, np.uint8)
    return STORE.types[IMAGE](
        header=header(index), height=4, width=6, encoding="rgb8", is_bigendian=0, step=18,
        data=pixels.reshape(-1),
    )  # fmt: skip


def camera_info(index):
    region = STORE.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    k = np.array([50, 0, 3, 0, 50, 2, 0, 0, 1], float)
    p = np.array([50, 0, 3, 0, 0, 50, 2, 0, 0, 0, 1, 0], float)
    return STORE.types[INFO](
        header=header(index), height=4, width=6, distortion_model="plumb_bob", D=np.zeros(5),
        K=k, R=np.eye(3).reshape(-1), P=p, binning_x=0, binning_y=0, roi=region,
    )  # fmt: skip


@pytest.fixture
def drive(tmp_path):
    """A function that writes 5 images with their camera_info and a latched word."""

    def make(compression=None):
        path = tmp_path / "drive.bag"
        writer = Writer(path)
        if compression is not None:
            writer.set_compression(compression)
        with writer:
            images = writer.add_connection("/image", IMAGE, typestore=STORE)
            infos = writer.add_connection("/camera_info", INFO, typestore=STORE)
            words = writer.add_connection("/words", STRING, typestore=STORE, latching=1)
            word = STORE.serialize_ros1(STORE.types[STRING](data="hello"), STRING)
            writer.write(words, START, word)
            for index in range(5):
                time = START + index * 100_000_000
                writer.write(images, time, STORE.serialize_ros1(image(index), IMAGE))
                writer.write(infos, time, STORE.serialize_ros1(camera_info(index), INFO))
        return path

    return make


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_ros_1_bag_is_read_as_one_of_ros_2(drive, compression):
    with Bag(drive(compression)) as bag:
        assert {name: topic.msgtype for name, topic in bag.topics.items()} == {
            "/image": IMAGE,
            "/camera_info": INFO,
            "/words": STRING,
        }
        assert [topic.count for topic in bag.topics.values()] == [5, 5, 1]
        assert bag.duration == pytest.approx(0.4)
        frames = list(read_images(bag))
        assert [frame.array[0, 0, 0] for frame in frames] == [0, 1, 2, 3, 4]
        assert [frame.stamp_ns for frame in frames] == [START + index for index in range(5)]
        assert [frame.log_time for frame in frames] == [START + k * 10**8 for k in range(5)]
        info = bag.decode(next(bag.messages(["/camera_info"])))
        assert info.k.tolist() == [50, 0, 3, 0, 50, 2, 0, 0, 1]
        (qos,) = bag.topics["/words"].qos
        assert qos.durability == QosDurability.TRANSIENT_LOCAL
        assert [bag.decode(raw).data for raw in bag.messages(["/words"])] == ["hello"]
        assert bag.damage is None


def test_types_of_another_shape_are_migrated_and_what_has_no_definition_left_out(tmp_path, caplog):
    store, accel, herd = get_typestore(Stores.EMPTY), "geometry_msgs/msg/Accel", "farm/msg/Herd"
    store.register(get_types_from_msg("uint8 level\nstring text", accel))  # not that of ROS 2
    store.register(get_types_from_msg("uint8 cows", herd))
    with Writer(tmp_path / "a.bag") as writer:
        for topic, kind, values in (("/odd", accel, (3, "x")), ("/herd", herd, (7,))):
            connection = writer.add_connection(topic, kind, typestore=store)
            writer.write(connection, 1, store.serialize_ros1(store.types[kind](*values), kind))
        bad = writer.add_connection("/bad", STRING, msgdef="no definition", md5sum="0")
        good = writer.add_connection("/good", STRING, typestore=STORE)
        word = STORE.serialize_ros1(STORE.types[STRING](data="hello"), STRING)
        writer.write(bad, 2, word)
        writer.write(good, 3, word)
    with Bag(tmp_path / "a.bag") as bag:
        found = {raw.topic: raw for raw in bag.messages()}
        assert sorted(found) == ["/good", "/herd", "/odd"]
        assert bag.decode(found["/good"]).data == "hello"
        assert bag.decode(found["/odd"]).linear.x == 0.0
        assert found["/herd"].data[4:] == b"\7"
        assert bag.damage is None
    assert "messages of /bad are left out" in caplog.text


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_bag_that_is_cut_is_refused_with_the_remedy(drive, share):
    path = drive()
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(BagError, match=r"rosbag reindex .*drive\.bag"):
        Bag(path)


@pytest.mark.parametrize("compression", COMPRESSIONS[1:])
def test_a_chunk_that_grows_beyond_the_limit_is_not_read(drive, compression, monkeypatch):
    path = drive(compression)
    monkeypatch.setattr(ros1, "MAX_BYTES", 100)
    lz4 = partial(ros1.inflate, compression="lz4", limit=100)
    monkeypatch.setattr(
        ros1, "_LIMITED", dict(zip(ros1._LIMITED, (ros1._bunzip, lz4), strict=True))
    )
    with Bag(path) as bag:
        assert list(bag.messages()) == []
        assert "hold more than 100 bytes" in bag.damage


def test_every_damage_is_refused_or_noted(drive):
    path = drive()
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(150):
        data = bytearray(whole)
        for at in random.integers(13, len(data), 8):
            data[at] = random.integers(256)
        path.write_bytes(data)
        with suppress(BagError), Bag(path) as bag:
            list(bag.messages())
