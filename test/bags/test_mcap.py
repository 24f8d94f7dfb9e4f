"""MCAP files put together record by record: odd but sound ones, and such as claim too much."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress

import lz4.frame
import pytest
from rosbags.rosbag2.storage_mcap import zstd

from objectomaly_ros.bags import mcap
from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.bags.typestore import make_typestore
from objectomaly_ros.bags.writer import BagWriter

MAGIC = b"\x89MCAP0\r\n"
STORE = make_typestore()


def record(opcode, *parts):
    content = b"".join(parts)
    return struct.pack("<BQ", opcode, len(content)) + content


def string(text):
    return struct.pack("<I", len(text)) + text.encode()


HEADER = record(1, string("ros2"), string("test"))
SCHEMA = record(3, struct.pack("<H", 1), string("std_msgs/msg/String"), string(""), string(""))


def channel(key=1, topic="/words", qos="", encoding="cdr", schema=1):
    metadata = string("offered_qos_profiles") + string(qos)
    return record(
        4,
        struct.pack("<HH", key, schema),
        string(topic),
        string(encoding),
        struct.pack("<I", len(metadata)) + metadata,
    )


def message(text, log_time, key=1):
    data = STORE.serialize_cdr(STORE.types["std_msgs/msg/String"](data=text), "std_msgs/msg/String")
    return record(5, struct.pack("<HIQQ", key, 0, log_time, log_time), data)


def chunk(records, compression="", packed=None, size=None, crc=0):
    packed = records if packed is None else packed
    return record(
        6,
        struct.pack("<QQQI", 0, 0, len(records) if size is None else size, crc),
        string(compression),
        struct.pack("<Q", len(packed)),
        packed,
    )


def write(folder, *data, end=True):
    """A file with or without its end, but no index."""
    path = folder / "test.mcap"
    closing = record(15, bytes(4)) + record(2, bytes(20)) + MAGIC if end else b""
    path.write_bytes(MAGIC + HEADER + b"".join(data) + closing)
    return path


def words(path):
    with Bag(path) as bag:
        return [bag.decode(message).data for message in bag.messages()], bag.damage


def test_messages_outside_chunks_come_in_order_of_time(tmp_path):
    path = write(
        tmp_path, SCHEMA, channel(), message("b", 6), message("c", 9), record(200, b"private"),
        message("a", 5), chunk(message("d", 12)), message("e", 13),
    )  # fmt: skip
    assert words(path) == (list("abcde"), None)
    with Bag(path) as bag:
        assert bag.topics["/words"].count == 5
        assert bag.duration == pytest.approx(8e-9)


@pytest.mark.parametrize(
    ("compression", "pack"),
    [("", bytes), ("lz4", lz4.frame.compress), ("zstd", zstd.compress)],
)
def test_chunks_of_every_compression(tmp_path, compression, pack):
    records = SCHEMA + channel() + message("a", 1) + message("b", 2)
    whole = chunk(records, compression, pack(records), crc=zlib.crc32(records))
    assert words(write(tmp_path, whole)) == (["a", "b"], None)


def test_chunks_that_overlap_in_time_are_merged(tmp_path):
    path = write(
        tmp_path, SCHEMA, channel(), chunk(message("d", 4) + message("a", 1)),
        chunk(message("c", 3) + message("b", 2)), chunk(message("e", 5)),
    )  # fmt: skip
    assert words(path) == (list("abcde"), None)


def test_an_index_that_names_a_chunk_often_gives_it_once(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/words", "std_msgs/msg/String")
        writer.write("/words", STORE.types["std_msgs/msg/String"](data="a"), 7)
    (path,) = (tmp_path / "bag").glob("*.mcap")
    data = path.read_bytes()
    at = data.index(struct.pack("<BQ", 8, 74))  # the index record of its only chunk
    entry = data[at : at + 9 + 74]
    path.write_bytes(data[:at] + entry * 5 + data[at + len(entry) :])
    assert words(path) == (["a"], None)


GOOD = SCHEMA + channel() + chunk(message("good", 1))
RECORDS = message("bad", 2)
BOMB = zstd.compress(bytes(20_000_000))


@pytest.mark.parametrize(
    ("bad", "damage"),
    [
        (chunk(RECORDS, size=2**40), r"chunk at byte 2\d\d claims 1099511627776 bytes; the limit"),
        (chunk(RECORDS, "zstd", BOMB, size=20), "bytes of zstd hold more than 20 bytes"),
        (chunk(RECORDS, "lz4", lz4.frame.compress(bytes(10**6)), 20), "lz4 hold more than 20"),
        (chunk(RECORDS, "zstd", BOMB[:-9], size=2 * 10**7), "bytes of zstd end too early"),
        (chunk(RECORDS, "zstd", b"no zstd"), "."),
        (chunk(RECORDS, "odd"), "unknown compression 'odd'; known are zstd and lz4"),
        (chunk(RECORDS, size=5), r"chunk at byte 2\d\d claims 5 bytes but holds"),
        (chunk(RECORDS, crc=5), "checksum of the chunk at byte 2.. is wrong"),
        (chunk(chunk(RECORDS)), "chunk holds no whole record at its byte 0"),
        (chunk(RECORDS[:-1]), "chunk holds no whole record at its byte 0"),
        (chunk(RECORDS + b"\0" * 20), "chunk holds no whole record at its byte 4"),
        (chunk(record(5, b"short")), "message record has 5 bytes"),
        (record(6, b"short"), r"chunk at byte 2\d\d is cut short"),
        (record(3, b"\2\0" + struct.pack("<I", 2**32 - 1)), "a string claims 4294967295 bytes"),
        (struct.pack("<BQ", 4, 2**60), "claims 1152921504606846976 bytes; .* are left"),
        (struct.pack("<BQ", 99, 0), "there is no record at byte 2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_claim_that_does_not_hold_ends_the_reading_before_it(tmp_path, bad, damage):
    read, found = words(write(tmp_path, GOOD, bad, message("after", 3), end=False))
    assert read == ["good"]
    with pytest.raises(AssertionError, match=damage):
        raise AssertionError(found)


def test_limits_hold_for_records_chunks_and_definitions(tmp_path, monkeypatch):
    monkeypatch.setattr(mcap, "MAX_BYTES", 1000)
    path = write(tmp_path, GOOD, chunk(bytes(500)), chunk(bytes(1001)))
    read, damage = words(path)
    assert read == ["good"]
    assert "no whole record" in damage
    path = write(tmp_path, GOOD, chunk(b"", size=1001))
    assert "claims 1001 bytes; the limit is 1000" in words(path)[1]
    path = write(tmp_path, GOOD, record(3, bytes(1001)))
    assert "claims 1001 bytes; the limit is 1000" in words(path)[1]
    monkeypatch.setattr(mcap, "_MAX_DEFINITION_BYTES", 300)
    path = write(tmp_path, GOOD, *(channel(key) for key in range(2, 9)), message("after", 3))
    read, damage = words(path)
    assert read == ["good"]
    assert "its definitions take more than 300 bytes" in damage


def test_many_chunks_of_one_time_do_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(mcap, "MAX_OPEN_BYTES", 1000)
    data = [chunk(message("x" * 280, 1) + message("y" * 280, 1000)) for _ in range(5)]
    with Bag(write(tmp_path, SCHEMA, channel(), *data)) as bag:
        assert len(list(bag.messages())) <= 2
        assert "and 1000 for chunks that overlap in time" in bag.damage
    data = [chunk(message("x" * 800, time) + message("y", time + 1)) for time in range(0, 10, 2)]
    assert len(words(write(tmp_path, SCHEMA, channel(), *data))[0]) == 10


def test_a_file_of_another_profile(tmp_path):
    path = tmp_path / "ros1.mcap"
    path.write_bytes(MAGIC + record(1, string("ros1"), string("")))
    with pytest.raises(BagError, match="its profile is 'ros1', not 'ros2'"):
        Bag(path)


def profiled(path, profile):
    path.write_bytes(path.read_bytes().replace(HEADER, record(1, string(profile), string("x"))))
    return path


@pytest.mark.parametrize("profile", ["", "ros2", "a viewer's own"])
def test_the_channels_tell_of_what_kind_the_messages_are_not_the_profile(tmp_path, profile):
    path = profiled(write(tmp_path, SCHEMA, channel(), message("a", 1)), profile)
    assert words(path) == (["a"], None)


@pytest.mark.parametrize("profile", ["", "ros1", "ros2"])
@pytest.mark.parametrize(
    ("encoding", "named"),
    [
        ("json", "JSON"),
        ("protobuf", "protobuf"),
        ("ros1", "ROS 1 messages"),
        ("xml", "'xml' messages"),
    ],
)
def test_messages_that_are_not_of_ros_2_are_named_as_what_they_are(
    tmp_path, caplog, profile, encoding, named
):
    odd = channel(key=2, topic="/odd", encoding=encoding)
    records = SCHEMA, odd, message("x", 1, key=2)
    with pytest.raises(BagError, match=rf"no messages of ROS 2 \(CDR\), only: /odd \({named}\)"):
        Bag(profiled(write(tmp_path, *records), profile))
    mixed = profiled(write(tmp_path, *records, channel(), message("a", 2)), profile)
    assert words(mixed) == (["a"], None)
    assert f"not of ROS 2: /odd ({named})" in caplog.text


def test_a_type_may_be_named_in_short(tmp_path):
    short = record(3, struct.pack("<H", 1), string("std_msgs/String"), string(""), string(""))
    path = write(tmp_path, short, channel(), message("a", 1))
    assert words(path) == (["a"], None)


def test_a_channel_without_a_schema_is_left_out(tmp_path):
    path = write(tmp_path, channel(schema=0), message("x", 1))
    with pytest.raises(BagError, match=r"/words \(CDR without a schema\)"):
        Bag(path)


@pytest.mark.parametrize("qos", ["[" * 100_000, "- {}", "a: &a [1]\nb: *a", "7", "x" * 70_000])
def test_qos_that_cannot_be_read_is_none(tmp_path, qos):
    path = write(tmp_path, SCHEMA, channel(qos=qos), message("a", 1))
    with Bag(path) as bag:
        assert bag.topics["/words"].qos == ()
    assert words(path) == (["a"], None)


def test_every_beginning_of_a_file_is_read_or_refused(tmp_path):
    records = SCHEMA + channel() + message("b", 2)
    whole = write(
        tmp_path, SCHEMA, channel(), message("a", 1), chunk(records, "zstd", zstd.compress(records))
    ).read_bytes()
    path = tmp_path / "cut.mcap"
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        with suppress(BagError):
            read, damage = words(path)
            assert read in ([], ["a"], ["a", "b"])
            assert damage


def indexed(folder, chunks, start, end):
    """A file with an index of its chunks, (records, start, end), but none of their messages."""
    data, index = MAGIC + HEADER, b""
    for records, first, last in chunks:
        whole = chunk(records)
        index += record(
            8,
            struct.pack("<QQQQ", first, last, len(data), len(whole)),
            struct.pack("<IQ", 0, 0),
            string(""),
            struct.pack("<QQ", len(records), len(records)),
        )
        data += whole
    data += record(15, bytes(4))
    count = sum(records.count(b"\x05\x1f") or 1 for records, _, _ in chunks)
    counts = struct.pack("<IHQ", 10, 1, count)
    statistics = struct.pack("<QHIIIIQQ", count, 1, 1, 0, 0, len(chunks), start, end)
    footer = record(2, struct.pack("<QQI", len(data), 0, 0))
    path = folder / "indexed.mcap"
    path.write_bytes(
        data + SCHEMA + channel() + index + record(11, statistics, counts) + footer + MAGIC
    )
    return path


def test_chunks_without_an_index_of_their_messages_are_read(tmp_path):
    records = SCHEMA + channel() + message("a", 5) + message("b", 9)
    path = indexed(tmp_path, [(records, 5, 9)], 5, 9)
    assert words(path) == (["a", "b"], None)


@pytest.mark.parametrize(("start", "end"), [(9, 5), (0, 9), (5, 2**60)])
def test_statistics_that_the_chunks_contradict_do_not_count(tmp_path, start, end):
    records = SCHEMA + channel() + message("a", 5) + message("b", 9)
    path = indexed(tmp_path, [(records, 5, 9)], start, end)
    assert words(path) == (["a", "b"], None)
    with Bag(path) as bag:
        assert (bag.start, bag.duration) == (5, pytest.approx(4e-9))


def test_a_chunk_whose_index_leaves_out_a_time_of_zero_is_read_in_order(tmp_path):
    first = SCHEMA + channel() + message("c", 5) + message("a", 0)
    path = indexed(tmp_path, [(first, 5, 5), (message("b", 3), 3, 3)], 0, 5)
    assert words(path) == (["a", "b", "c"], None)
