from __future__ import annotations

from functools import partial

import lz4.frame
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import zstd

from objectomaly_ros.bags import reader, storage
from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.bags.storage import (
    RawMessage,
    inflate,
    inflate_file,
    merge_by_time,
)
from objectomaly_ros.bags.typestore import make_typestore
from objectomaly_ros.bags.writer import BagWriter

STORE = make_typestore()
STRING = "std_msgs/msg/String"


def compressed_bag(folder, mode, plugin, words):
    writer = Writer(folder, version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection("/words", STRING, typestore=STORE)
        for stamp, word in enumerate(words):
            message = STORE.serialize_cdr(STORE.types[STRING](data=word), STRING)
            writer.write(connection, stamp, bytes(message))
    return folder


MODES = [CompressionMode.FILE, CompressionMode.MESSAGE]
PLUGINS = [StoragePlugin.MCAP, StoragePlugin.SQLITE3]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("plugin", PLUGINS)
def test_bags_compressed_as_files_or_messages(tmp_path, mode, plugin):
    folder = compressed_bag(tmp_path / "bag", mode, plugin, ["a", "b"])
    with Bag(folder) as bag:
        assert [bag.decode(message).data for message in bag.messages()] == ["a", "b"]
        assert bag.damage is None


def read(path):
    with Bag(path) as bag:
        words = [bag.decode(message).data for message in bag.messages()]
        return words, bag.damage


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_file_of_a_bag_with_compressed_messages_is_read_alone(tmp_path, plugin):
    folder = compressed_bag(tmp_path / "bag", CompressionMode.MESSAGE, plugin, ["a", "b"])
    (folder / "metadata.yaml").unlink()
    assert read(folder)[0] == ["a", "b"]
    (file,) = folder.iterdir()
    assert read(file) == (["a", "b"], None)


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize("ending", ["zstd", "zst"])
def test_a_compressed_file_is_read_alone_and_without_metadata(tmp_path, plugin, ending):
    folder = compressed_bag(tmp_path / "bag", CompressionMode.FILE, plugin, ["a", "b"])
    (folder / "metadata.yaml").unlink()
    (file,) = folder.iterdir()
    file = file.rename(file.with_suffix(f".{ending}"))
    assert read(file) == (["a", "b"], None)
    words, damage = read(folder)
    assert words == ["a", "b"]
    assert "no metadata.yaml" in damage


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize("metadata", [True, False])
@pytest.mark.parametrize("partly", [True, False], ids=["partly compressed", "not compressed yet"])
def test_a_split_recording_whose_last_file_is_not_compressed_yet(
    tmp_path, plugin, metadata, partly
):
    first = compressed_bag(tmp_path / "bag", CompressionMode.FILE, plugin, ["a", "b"])
    second = compressed_bag(tmp_path / "more", CompressionMode.FILE, plugin, ["c", "d"])
    (packed,) = second.glob("*.zstd")
    (first / packed.stem).write_bytes(storage.zstd.decompress(packed.read_bytes()))
    if partly:
        (first / packed.name).write_bytes(packed.read_bytes()[:50])
    text = (first / "metadata.yaml").read_text()
    line = next(line for line in text.splitlines() if line.strip().startswith("- bag."))
    both = f"{line}\n{line.replace('- bag.', '- more.')}"
    (first / "metadata.yaml").write_text(text.replace(line, both, 1))
    if not metadata:
        (first / "metadata.yaml").unlink()
    words, damage = read(first)
    assert sorted(words) == ["a", "b", "c", "d"]
    assert (damage is None) == metadata


def test_messages_that_are_neither_cdr_nor_compressed_are_not_handed_out(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/words", STRING)
        for time, data in enumerate((b"{}", b"", b"more", b"\0\1\0\0good")):
            writer.write_raw("/words", data, time)
    with Bag(tmp_path / "bag") as bag:
        assert [message.data[4:] for message in bag.messages()] == [b"good"]
        assert "begins with 7b 7d, which is no CDR" in bag.damage


def test_lz4_messages_are_read(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/words", STRING)
        word = STORE.serialize_cdr(STORE.types[STRING](data="a"), STRING)
        writer.write_raw("/words", lz4.frame.compress(bytes(word)), 1)
    assert read(tmp_path / "bag") == (["a"], None)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_message_that_grows_beyond_the_limit_ends_the_reading(tmp_path, monkeypatch, plugin):
    words = ["a", "x" * 10_000, "b"]
    folder = compressed_bag(tmp_path / "bag", CompressionMode.MESSAGE, plugin, words)
    monkeypatch.setattr(reader, "inflate", partial(inflate, limit=1000))
    with Bag(folder) as bag:
        assert [bag.decode(message).data for message in bag.messages()] == ["a"]
        assert "bytes of zstd hold more than 1000 bytes" in bag.damage


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_file_that_grows_beyond_the_limit_is_refused(tmp_path, monkeypatch, plugin):
    words = ["x" * 10_000] * 500
    folder = compressed_bag(tmp_path / "bag", CompressionMode.FILE, plugin, words)
    monkeypatch.setattr(storage, "_SMALL_BYTES", 10_000)
    with pytest.raises(BagError, match=r"that hold more than \d+; .*decompress it by hand"):
        Bag(folder)


def test_inflating_to_a_file_keeps_what_is_in_the_limit(tmp_path):
    (tmp_path / "a.zstd").write_bytes(zstd.compress(bytes(3 * 2**20)))
    assert inflate_file(tmp_path / "a.zstd", tmp_path / "a").read_bytes() == bytes(3 * 2**20)


@pytest.mark.parametrize(
    ("compression", "pack"), [("", bytes), ("zstd", zstd.compress), ("lz4", lz4.frame.compress)]
)
def test_inflating_up_to_the_limit(compression, pack):
    data = b"good" * 100
    assert inflate(pack(data), compression, 400) == data
    if compression:
        with pytest.raises(ValueError, match="hold more than 399 bytes"):
            inflate(pack(data), compression, 399)


def test_streams_are_merged_by_time_and_started_when_due():
    started = []

    def stream(name, *times):
        started.append(name)
        for time in times:
            yield RawMessage(name, STRING, time, b"")

    merged = merge_by_time([(5, stream("b", 5, 7)), (1, stream("a", 1, 2, 6)), (9, stream("c", 9))])
    assert [next(merged).log_time for _ in range(2)] == [1, 2]
    assert started == ["a"]
    assert [(m.topic, m.log_time) for m in merged] == [("b", 5), ("a", 6), ("b", 7), ("c", 9)]
