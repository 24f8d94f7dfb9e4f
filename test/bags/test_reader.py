from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.images import read_images
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.bags.writer import BagWriter

ROWS = [f"frame {index}" for index in range(8)]


def words(bag):
    return [bag.decode(message).data for message in bag.messages(["/words"])]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_topics_types_counts_and_order(make_bag, storage):
    with Bag(make_bag(storage)) as bag:
        assert {(t.name, t.msgtype, t.count) for t in bag.topics.values()} == {
            ("/image", "sensor_msgs/msg/Image", 8),
            ("/words", "std_msgs/msg/String", 8),
        }
        assert bag.duration == pytest.approx(0.7)
        times = [message.log_time for message in bag.messages()]
        assert times == sorted(times)
        assert len(times) == 16
        assert words(bag) == ROWS
        assert bag.damage is None


@pytest.mark.parametrize(("storage", "suffix"), [("mcap", ".mcap"), ("sqlite3", ".db3")])
def test_one_file_without_its_folder_is_a_bag_too(make_bag, storage, suffix):
    (file,) = make_bag(storage).glob(f"*{suffix}")
    with Bag(file) as bag:
        assert words(bag) == ROWS
        assert bag.damage is None


def test_the_only_image_topic_is_found_and_one_of_several_must_be_named(tmp_path, make_bag):
    with Bag(make_bag()) as bag:
        assert bag.image_topic().name == "/image"
    with BagWriter(tmp_path / "two") as writer:
        writer.add_topic("/left/image", "sensor_msgs/msg/Image")
        writer.add_topic("/right/image", "sensor_msgs/msg/CompressedImage")
    with (
        Bag(tmp_path / "two") as bag,
        pytest.raises(BagError, match="several image topics") as info,
    ):
        bag.image_topic()
    assert "/left/image" in str(info.value)
    assert "/right/image" in str(info.value)


def test_the_definitions_in_the_bag_are_used(tmp_path, monkeypatch):
    """A type that this machine does not know is read by what the bag says about it."""
    folder = tmp_path / "share" / "farm_msgs" / "msg"
    folder.mkdir(parents=True)
    (folder / "Herd.msg").write_text("std_msgs/Header header\nuint8[] cows\n")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/herd", "farm_msgs/msg/Herd")
        types = writer.store.types
        header = types["std_msgs/msg/Header"](
            stamp=types["builtin_interfaces/msg/Time"](sec=1, nanosec=2), frame_id="field"
        )
        cows = np.array([4, 5], np.uint8)
        writer.write("/herd", types["farm_msgs/msg/Herd"](header=header, cows=cows), 9)
    monkeypatch.delenv("AMENT_PREFIX_PATH")
    with Bag(tmp_path / "bag") as bag:
        (message,) = [bag.decode(raw) for raw in bag.messages()]
    assert message.header.frame_id == "field"
    np.testing.assert_array_equal(message.cows, [4, 5])


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_without_metadata_is_read_and_said_to_be_damaged(make_bag, storage, caplog):
    folder = make_bag(storage)
    (folder / "metadata.yaml").unlink()
    with caplog.at_level(logging.WARNING), Bag(folder) as bag:
        assert words(bag) == ROWS
        assert "no metadata.yaml" in bag.damage
    assert "no metadata.yaml" in caplog.text


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_the_good_beginning_of_a_cut_mcap_file_is_kept(make_bag, share):
    folder = make_bag("mcap")
    (file,) = folder.glob("*.mcap")
    size = int(file.stat().st_size * share)
    os.truncate(file, size)
    with Bag(folder) as bag:
        images = list(read_images(bag))
        assert bag.damage is not None
    # One chunk holds one of these images and a little more; at most two are cut away with it.
    assert 8 * share - 2 <= len(images) <= 8 * share
    assert file.stat().st_size == size  # reading leaves the file alone


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_the_readable_rows_of_a_cut_sqlite_file_are_kept(make_bag, share):
    """SQLite puts the pages that lead to rows where there is room: some whole rows are lost."""
    folder = make_bag("sqlite3", count=200, size=(60, 80))
    (file,) = folder.glob("*.db3")
    with Bag(folder) as bag:
        whole = {image.stamp_ns: image.array for image in read_images(bag)}
    size = int(file.stat().st_size * share)
    os.truncate(file, size)
    with Bag(folder) as bag:
        images = list(read_images(bag))
        assert bag.damage is not None
    assert 200 * share - 20 <= len(images) <= 200 * share
    for image in images:
        np.testing.assert_array_equal(image.array, whole[image.stamp_ns])
    assert file.stat().st_size == size


def test_zeros_at_the_end_of_an_mcap_file_are_no_records(make_bag):
    (file,) = make_bag("mcap").glob("*.mcap")
    data = file.read_bytes()
    half = len(data) // 2
    file.write_bytes(data[:half] + bytes(len(data) - half))
    with Bag(file) as bag:
        assert 1 <= len(list(read_images(bag))) <= 4
        assert bag.damage is not None


def test_damage_in_the_middle_ends_the_reading_with_what_came_before(make_bag, caplog):
    """Bytes turned over inside: the index is whole, so this shows only while reading."""
    folder = make_bag("mcap")
    (file,) = folder.glob("*.mcap")
    data = bytearray(file.read_bytes())
    at = data.index(b"\x05", len(data) // 2)
    data[at : at + 2_000_000] = bytes(b ^ 0xFF for b in data[at : at + 2_000_000])
    file.write_bytes(data)
    with caplog.at_level(logging.WARNING), Bag(folder) as bag:
        good = list(bag.messages())
        assert "is damaged after" in bag.damage
    assert 4 <= len(good) < 16
    assert "is damaged after" in caplog.text


KILLED = """
import sys, time
import numpy as np
from objectomaly_ros.bags.writer import BagWriter
from objectomaly_ros.bags.messages import image_message
writer = BagWriter(sys.argv[1], storage=sys.argv[2])
writer.add_topic("/image", "sensor_msgs/msg/Image")
image = np.random.default_rng(1).integers(0, 256, (480, 640, 3), dtype=np.uint8)
for index in range(12):
    if index == 8:
        writer.checkpoint()
        print("safe", flush=True)
    stamp = 1_700_000_000_000_000_000 + index
    writer.write("/image", image_message(writer.store, image, stamp, "camera"), stamp)
print("written", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_what_was_written_before_a_checkpoint_survives_a_kill(tmp_path, storage):
    folder = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder), storage], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "safe\n"
    assert process.stdout.readline() == "written\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with Bag(folder) as bag:
        images = list(read_images(bag))
        assert bag.damage is not None
    assert 8 <= len(images) <= 12
    assert [image.stamp_ns % 1000 for image in images] == list(range(len(images)))


def test_a_message_lists_some_of_many_topics(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        for number in range(30):
            writer.add_topic(f"/topic{number}", "std_msgs/msg/String")
    with Bag(tmp_path / "bag") as bag, pytest.raises(BagError, match=r"10 more$"):
        bag.image_topic()


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_range_of_log_times_is_read(make_bag, storage):
    with Bag(make_bag(storage)) as bag:
        times = [message.log_time for message in bag.messages(["/image"])]
        for first, last in ((0, 7), (2, 5), (3, 3)):
            found = [m.log_time for m in bag.messages(["/image"], times[first], times[last])]
            assert found == times[first : last + 1]
        assert list(bag.messages(["/image"], times[-1] + 1)) == []
        assert list(bag.messages(["/image"], 0, times[0] - 1)) == []
