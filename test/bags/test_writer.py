from __future__ import annotations

import io
import sqlite3
from contextlib import closing

import pytest
from rosbags.rosbag2 import Reader
from ruamel.yaml import YAML

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.bags.typestore import make_typestore
from objectomaly_ros.bags.writer import BagWriter
from objectomaly_ros.files.writing import bytes_at

ARRAY = "objectomaly_ros/msg/ObstacleArray"
NESTED = [
    "std_msgs/Header",
    "builtin_interfaces/Time",
    "objectomaly_ros/Obstacle",
    "sensor_msgs/RegionOfInterest",
    "geometry_msgs/Polygon",
    "geometry_msgs/Point32",
    "geometry_msgs/Point",
]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_explains_itself(tmp_path, storage):
    """Each type that a message is made of is defined in the file, once, in ROS 2's msg form."""
    with BagWriter(tmp_path / "bag", storage=storage) as writer:
        writer.add_topic("/obstacles", ARRAY)
    with Reader(tmp_path / "bag") as reader:
        (connection,) = reader.connections
    assert connection.msgdef.format.name == "MSG"
    parts = connection.msgdef.data.split("=" * 80 + "\n")
    assert [part.split("\n")[0] for part in parts[1:]] == [f"MSG: {name}" for name in NESTED]
    assert connection.digest == make_typestore().hash_rihs01(ARRAY)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_the_metadata_are_those_of_rosbag2(tmp_path, storage):
    with BagWriter(tmp_path / "bag", storage=storage) as writer:
        writer.add_topic("/words", "std_msgs/msg/String")
        word = writer.store.types["std_msgs/msg/String"](data="hello")
        writer.write("/words", word, 1_000)
        writer.checkpoint()
        writer.write("/words", word, 5_000)
    metadata = YAML(typ="safe").load((tmp_path / "bag" / "metadata.yaml").read_text())
    information = metadata["rosbag2_bagfile_information"]
    assert information["version"] == 9
    assert information["storage_identifier"] == storage
    assert information["message_count"] == 2
    assert information["duration"]["nanoseconds"] == 4_000
    (file,) = information["relative_file_paths"]
    assert (tmp_path / "bag" / file).is_file()
    (topic,) = information["topics_with_message_count"]
    assert topic["topic_metadata"]["name"] == "/words"
    assert topic["topic_metadata"]["serialization_format"] == "cdr"
    (qos,) = topic["topic_metadata"]["offered_qos_profiles"]
    assert (qos["reliability"], qos["durability"]) == ("reliable", "volatile")


def test_the_sqlite_schema_is_that_of_rosbag2(tmp_path):
    with BagWriter(tmp_path / "bag", storage="sqlite3") as writer:
        writer.add_topic("/words", "std_msgs/msg/String")
    with closing(sqlite3.connect(tmp_path / "bag" / "bag.db3")) as database:
        tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
    assert {"schema", "metadata", "topics", "message_definitions", "messages"} <= tables


def test_what_was_written_before_an_error_is_a_sound_bag(tmp_path):
    def write_and_fail():
        with BagWriter(tmp_path / "bag") as writer:
            writer.add_topic("/words", "std_msgs/msg/String")
            writer.write("/words", writer.store.types["std_msgs/msg/String"](data="hello"), 1)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_and_fail()
    with Reader(tmp_path / "bag") as reader:
        assert reader.message_count == 1


def test_a_topic_can_be_added_once(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/words", "std_msgs/msg/String")
        with pytest.raises(BagError, match="/words is in"):
            writer.add_topic("/words", "std_msgs/msg/String")


def test_the_folder_must_be_new_and_writable(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BagError, match="exists already"):
        BagWriter(tmp_path / "file")
    with pytest.raises(BagError, match="cannot be written: Not a directory"):
        BagWriter(tmp_path / "file" / "bag")


def start_bag(path, **options):
    writer = BagWriter(path, **options)
    writer.add_topic("/words", "std_msgs/msg/String")
    return writer


def word(writer, text="hello"):
    return writer.store.types["std_msgs/msg/String"](data=text)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_that_must_be_whole_appears_when_it_is_closed(tmp_path, storage):
    path = tmp_path / "sub" / "bag"
    with start_bag(path, storage=storage, whole=True) as writer:
        writer.write("/words", word(writer), 1)
        writer.checkpoint()
        assert not path.exists()
    assert [file.name for file in path.parent.iterdir()] == ["bag"]
    with Reader(path) as reader:
        assert reader.message_count == 1
    assert {file.stem for file in path.iterdir()} == {"bag", "metadata"}


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_of_a_bag_that_must_be_whole_nothing_stays_after_an_error(tmp_path, storage):
    def write_and_fail():
        with start_bag(tmp_path / "bag", storage=storage, whole=True) as writer:
            writer.write("/words", word(writer), 1)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_and_fail()
    assert list(tmp_path.iterdir()) == []


def fill_disk(writer):
    """Let what the writer writes from now on meet a full disk."""
    storage = writer._writer.storage
    if writer.storage == "mcap":
        storage.bio = io.BufferedWriter(io.FileIO("/dev/full", "w"))
    else:
        storage.conn.execute("PRAGMA max_page_count = 12")


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_full_disk_is_told_with_the_bag_and_how_far_it_came(tmp_path, storage, whole):
    def write_too_much():
        with start_bag(tmp_path / "bag", storage=storage, whole=whole) as writer:
            fill_disk(writer)
            for stamp in range(30):
                writer.write("/words", word(writer, "x" * 10_000), stamp)

    with pytest.raises(BagError, match=r"bag cannot be written: no space left after \d+ bytes"):
        write_too_much()
    assert (tmp_path / "bag").exists() != whole
    assert len(list(tmp_path.iterdir())) == (not whole)


def test_a_compressed_bag_is_small_and_complete(tmp_path):
    sizes = []
    for compress in (False, True):
        path = tmp_path / f"compress {compress}"
        with start_bag(path, compress=compress) as writer:
            for stamp in range(300):
                writer.write("/words", word(writer, f"{stamp}" + "x" * 10_000), stamp)
        with Bag(path) as bag:
            assert bag.damage is None
            words = [bag.decode(message).data[:-10_000] for message in bag.messages()]
        assert words == [str(stamp) for stamp in range(300)]
        with Reader(path) as reader:
            assert reader.message_count == len(list(reader.messages())) == 300
        sizes.append(bytes_at(path))
    assert sizes[1] < 0.1 * sizes[0]


def test_sqlite_bags_are_not_compressed(tmp_path):
    with pytest.raises(BagError, match="sqlite3 bags cannot be compressed"):
        BagWriter(tmp_path / "bag", storage="sqlite3", compress=True)
    assert list(tmp_path.iterdir()) == []
