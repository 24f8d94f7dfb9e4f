"""Bags, folders and topics that are wrong, each in another way: each must say what is wrong."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import cv2
import numpy as np
import pytest

from objectomaly_ros.bags import storage
from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.images import read_images
from objectomaly_ros.bags.make import write_frames_bag
from objectomaly_ros.bags.messages import image_message
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.bags.writer import BagWriter


def missing_path(folder, make_bag):
    return lambda: Bag(folder / "nowhere"), ["no bag at", "nowhere"]


def empty_folder(folder, make_bag):
    (folder / "empty").mkdir()
    return lambda: Bag(folder / "empty"), ["no metadata.yaml", "no .mcap or .db3", "nothing"]


def folder_of_frames_as_bag(folder, make_bag):
    (folder / "0.png").touch()
    return lambda: Bag(folder), ["it is no bag", "0.png"]


def text_file_named_mcap(folder, make_bag):
    (folder / "notes.mcap").write_text("this is a shopping list, not a recording\n" * 5)
    return lambda: Bag(folder / "notes.mcap"), ["cannot be read as a .mcap bag", "magic"]


def pointer_of_git_lfs(folder, make_bag):
    (folder / "drive.db3").write_text("version https://git-lfs.github.com/spec/v1\nsize 9\n")
    return lambda: Bag(folder / "drive.db3"), ["drive.db3", "git lfs pull"]


def empty_file_named_mcap(folder, make_bag):
    (folder / "empty.mcap").touch()
    return lambda: Bag(folder / "empty.mcap"), ["cannot be read as a .mcap bag"]


def mcap_cut_in_its_first_record(folder, make_bag):
    (file,) = make_bag("mcap").glob("*.mcap")
    os.truncate(file, 20)
    return lambda: Bag(file), ["cannot be read as a .mcap bag"]


def mcap_cut_before_its_first_message(folder, make_bag):
    (file,) = make_bag("mcap").glob("*.mcap")
    os.truncate(file, 80)
    return lambda: Bag(file), ["damaged and holds no readable message"]


def text_file_named_db3(folder, make_bag):
    (folder / "notes.db3").write_text("this is a shopping list, not a recording\n" * 50)
    return lambda: Bag(folder / "notes.db3"), ["cannot be read as a .db3 bag"]


def sqlite_without_tables(folder, make_bag):
    with closing(sqlite3.connect(folder / "other.db3")) as database:
        database.execute("CREATE TABLE groceries(name TEXT)")
        database.commit()
    return lambda: Bag(folder / "other.db3"), ["no tables 'topics' and 'messages'"]


def unknown_suffix(folder, make_bag):
    (folder / "drive.avi").touch()
    return lambda: Bag(folder / "drive.avi"), ["'.avi'", "expected a bag folder, .mcap or .db3"]


def ros1_bag(folder, make_bag):
    (folder / "drive.bag").write_text("#ROSBAG V2.0\n")
    return lambda: Bag(folder / "drive.bag"), ["drive.bag", "rosbag reindex"]


def metadata_is_no_yaml_and_nothing_else(folder, make_bag):
    (folder / "metadata.yaml").write_text("{[ broken")
    return lambda: Bag(folder), ["metadata.yaml", "no .mcap or .db3"]


def metadata_names_a_missing_file(folder, make_bag):
    bag = make_bag("sqlite3")
    next(bag.glob("*.db3")).unlink()
    return lambda: Bag(bag), ["files are missing: drive.db3", "no .mcap or .db3"]


def bag_is_a_named_pipe(folder, make_bag):
    os.mkfifo(folder / "pipe.mcap")
    return lambda: Bag(folder / "pipe.mcap"), ["pipe.mcap", "it is a named pipe"]


def bag_is_a_device(folder, make_bag):
    (folder / "zero.db3").symlink_to("/dev/zero")
    return lambda: Bag(folder / "zero.db3"), ["zero.db3", "it is a device"]


def storage_file_is_a_folder(folder, make_bag):
    (folder / "a.db3").mkdir()
    return lambda: Bag(folder), ["a.db3", "it is a directory"]


def journal_is_a_named_pipe(folder, make_bag):
    (file,) = make_bag("sqlite3").glob("*.db3")
    os.mkfifo(file.with_name(f"{file.name}-journal"))
    return lambda: Bag(file), ["-journal", "it is a named pipe"]


def metadata_is_a_named_pipe(folder, make_bag):
    os.mkfifo(folder / "metadata.yaml")
    return lambda: Bag(folder), ["metadata.yaml: it is a named pipe", "no .mcap or .db3 file"]


def metadata_names_a_named_pipe(folder, make_bag):
    bag = make_bag("mcap")
    (file,) = bag.glob("*.mcap")
    file.unlink()
    os.mkfifo(file)
    return lambda: Bag(bag), [file.name, "it is a named pipe"]


METADATA = "rosbag2_bagfile_information: {version: 5, relative_file_paths: [%s]}"


def metadata(folder, text):
    (folder / "metadata.yaml").write_text(text)
    return lambda: Bag(folder)


def metadata_nests_deeply(folder, make_bag):
    return metadata(folder, "[" * 200_000), ["nests deeper than 20 levels"]


def metadata_has_aliases(folder, make_bag):
    return metadata(folder, "a: &a [1]\nb: [*a, *a]\n"), ["the YAML has aliases"]


def metadata_is_endless(folder, make_bag):
    path = folder / "metadata.yaml"
    path.touch()
    os.truncate(path, 2**40)
    return lambda: Bag(folder), ["it has 1099511627776 bytes; the limit is"]


def metadata_is_of_another_kind(folder, make_bag):
    return metadata(folder, "rosbag2_bagfile_information: 3"), ["metadata.yaml", "no .mcap or"]


def metadata_names_thousands_of_missing_files(folder, make_bag):
    names = ", ".join(f"{k}.mcap" for k in range(3000))
    return metadata(folder, METADATA % names), ["files are missing: 0.mcap, 1.mcap", "4.mcap, ...)"]


def metadata_of_a_version_to_come(folder, make_bag):
    text = "rosbag2_bagfile_information: {version: 99}"
    return metadata(folder, text), ["version 99 is not known"]


def topic_missing(folder, make_bag):
    bag = make_bag()
    return (
        lambda: list(read_images(bag, "/imagee")),
        ["topic /imagee is not in", "did you mean /image?", "sensor_msgs/msg/Image, 8"],
    )


def topic_is_no_image(folder, make_bag):
    bag = make_bag()
    return (
        lambda: list(read_images(bag, "/words")),
        ["/words", "std_msgs/msg/String, which is no image", "image topics: /image"],
    )


def no_image_topic(folder, make_bag):
    with BagWriter(folder / "words") as writer:
        writer.add_topic("/words", "std_msgs/msg/String")
    return (
        lambda: list(read_images(folder / "words")),
        ["no image topic", "/words [std_msgs/msg/String, 0]"],
    )


def empty_topic(folder, make_bag):
    with BagWriter(folder / "silent") as writer:
        writer.add_topic("/image", "sensor_msgs/msg/Image")
    return lambda: list(read_images(folder / "silent")), ["no image on topic /image", "it is empty"]


def _one_image(folder, **changes):
    with BagWriter(folder / "odd") as writer:
        writer.add_topic("/image", "sensor_msgs/msg/Image")
        pixels = np.zeros((4, 6, 3), np.uint8)
        message = image_message(writer.store, pixels, 1, "camera")
        for name, value in changes.items():
            setattr(message, name, value)
        writer.write("/image", message, 1)
    return lambda: list(read_images(folder / "odd"))


def unknown_encoding(folder, make_bag):
    return _one_image(folder, encoding="jpeg2000xyz"), ["'jpeg2000xyz' is not supported"]


def score_map_as_image(folder, make_bag):
    changed = {"encoding": "32FC1", "step": 24, "data": np.zeros(96, np.uint8)}
    return _one_image(folder, **changed), ["'32FC1' is that of a depth image"]


def image_without_size(folder, make_bag):
    return _one_image(folder, width=0), ["it is empty: 0 x 4"]


def image_with_a_wrong_step(folder, make_bag):
    return _one_image(folder, step=6), ["its step is 6 bytes, but 6 pixels of rgb8 take 18"]


def image_cut_short(folder, make_bag):
    return _one_image(folder, data=np.zeros(10, np.uint8)), ["too short: 10 bytes", "take 72"]


def compressed_image_that_is_none(folder, make_bag):
    with BagWriter(folder / "odd") as writer:
        writer.add_topic("/image/compressed", "sensor_msgs/msg/CompressedImage")
        header = image_message(writer.store, np.zeros((1, 1, 3), np.uint8), 1, "camera").header
        compressed = writer.store.types["sensor_msgs/msg/CompressedImage"]
        junk = compressed(header=header, format="jpeg", data=np.arange(50, dtype=np.uint8))
        writer.write("/image/compressed", junk, 1)
    return lambda: list(read_images(folder / "odd")), ["50 bytes are damaged"]


def bytes_of_another_type(folder, make_bag):
    with BagWriter(folder / "odd") as writer:
        writer.add_topic("/image", "sensor_msgs/msg/Image")
        writer.write_raw("/image", b"\x00\x01\x00\x00\xff\xff", 1)
    return lambda: list(read_images(folder / "odd")), ["/image", "cannot be decoded"]


def no_frames_folder(folder, make_bag):
    return lambda: write_frames_bag(folder / "no", folder / "bag"), ["there is no such folder"]


def frames_folder_is_empty(folder, make_bag):
    (folder / "frames").mkdir()
    return lambda: write_frames_bag(folder / "frames", folder / "bag"), ["no frame", "nothing"]


def frames_folder_without_images(folder, make_bag):
    (folder / "frames").mkdir()
    (folder / "frames" / "readme.txt").touch()
    return lambda: write_frames_bag(folder / "frames", folder / "bag"), ["no frame", "readme.txt"]


def frame_that_is_no_image(folder, make_bag):
    (folder / "frames").mkdir()
    cv2.imwrite(str(folder / "frames" / "0.png"), np.zeros((4, 4, 3), np.uint8))
    (folder / "frames" / "1.png").write_text("no picture")
    return lambda: write_frames_bag(folder / "frames", folder / "bag"), ["1.png", "10 bytes"]


def bag_exists(folder, make_bag):
    bag = make_bag()
    return lambda: BagWriter(bag), ["exists already", "choose another name"]


def unknown_storage(folder, make_bag):
    return lambda: BagWriter(folder / "bag", storage="zip"), ["'zip'", "mcap, sqlite3"]


CASES = [
    missing_path,
    empty_folder,
    folder_of_frames_as_bag,
    text_file_named_mcap,
    empty_file_named_mcap,
    pointer_of_git_lfs,
    mcap_cut_in_its_first_record,
    mcap_cut_before_its_first_message,
    text_file_named_db3,
    sqlite_without_tables,
    unknown_suffix,
    ros1_bag,
    metadata_is_no_yaml_and_nothing_else,
    metadata_names_a_missing_file,
    bag_is_a_named_pipe,
    bag_is_a_device,
    storage_file_is_a_folder,
    journal_is_a_named_pipe,
    metadata_is_a_named_pipe,
    metadata_names_a_named_pipe,
    metadata_nests_deeply,
    metadata_has_aliases,
    metadata_is_endless,
    metadata_is_of_another_kind,
    metadata_of_a_version_to_come,
    metadata_names_thousands_of_missing_files,
    topic_missing,
    topic_is_no_image,
    no_image_topic,
    empty_topic,
    unknown_encoding,
    score_map_as_image,
    image_without_size,
    image_with_a_wrong_step,
    image_cut_short,
    compressed_image_that_is_none,
    bytes_of_another_type,
    no_frames_folder,
    frames_folder_is_empty,
    frames_folder_without_images,
    frame_that_is_no_image,
    bag_exists,
    unknown_storage,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_bad_bag_gives_a_clear_message(tmp_path, make_bag, case):
    use, words = case(tmp_path, make_bag)
    with pytest.raises(BagError) as info:
        use()
    message = str(info.value)
    for word in words:
        assert word in message, message


@pytest.mark.parametrize("names", ["", "''", "'.'", "'..'", "5", "null"])
def test_metadata_that_names_no_file_costs_nothing(make_bag, names):
    bag = make_bag("mcap")
    (bag / "metadata.yaml").write_text(METADATA % names)
    with Bag(bag) as opened:
        assert len(list(opened.messages())) > 0
        assert "cannot be opened by its metadata.yaml" in opened.damage


def test_one_bad_frame_among_good_ones_is_skipped(tmp_path, caplog):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/image", "sensor_msgs/msg/Image")
        for index in range(3):
            pixels = np.full((4, 6, 3), index, np.uint8)
            message = image_message(writer.store, pixels, index, "camera")
            if index == 1:
                message.encoding = "odd"
            writer.write("/image", message, index)
    assert [frame.stamp_ns for frame in read_images(tmp_path / "bag")] == [0, 2]
    assert "frame 2 skipped" in caplog.text


@pytest.fixture
def two_files(make_bag):
    """A bag of two files, of which the tests damage the first."""
    bag, more = make_bag("mcap", size=(48, 64)), make_bag("mcap", name="more", size=(48, 64))
    (first,), (second,) = bag.glob("*.mcap"), more.glob("*.mcap")
    second.rename(bag / "second.mcap")
    text = (bag / "metadata.yaml").read_text()
    line = next(line for line in text.splitlines() if line.strip() == f"- {first.name}")
    both = f"{line}\n{line.replace(first.name, 'second.mcap')}"
    (bag / "metadata.yaml").write_text(text.replace(line, both, 1))
    with Bag(bag) as opened:
        assert opened.count("/image") == 16
    return bag, first


@pytest.mark.parametrize("metadata", [True, False])
@pytest.mark.parametrize("fault", ["no bag", "a pipe", "empty"])
def test_one_bad_file_among_good_ones_is_skipped(two_files, caplog, fault, metadata):
    bag, file = two_files
    file.unlink()
    if fault == "a pipe":
        os.mkfifo(file)
    else:
        file.write_bytes(b"a shopping list" * (fault == "no bag"))
    if not metadata:
        (bag / "metadata.yaml").unlink()
    with Bag(bag) as opened:
        assert len(list(opened.messages(["/image"]))) == 8
        assert file.name in opened.damage
    assert f"{file.name} cannot be read as a .mcap bag" in caplog.text


def test_files_of_a_split_recording_that_overlap_in_time_are_merged(two_files):
    bag, _ = two_files  # the same times in both
    with Bag(bag) as opened:
        times = [message.log_time for message in opened.messages(["/image"])]
    assert times == sorted(times)
    assert len(times) == 16


def test_an_empty_storage_identifier_and_topics_without_messages_do_no_harm(make_bag):
    bag = make_bag("mcap")
    metadata = bag / "metadata.yaml"
    text = metadata.read_text()
    assert "storage_identifier: mcap" in text
    metadata.write_text(text.replace("storage_identifier: mcap", "storage_identifier: ''"))
    with Bag(bag) as opened:
        assert opened.damage is None
        assert len(list(opened.messages())) == 16


def test_a_bag_of_bad_files_alone_is_refused(two_files):
    bag, _ = two_files
    for path in bag.glob("*.mcap"):
        path.write_bytes(b"a shopping list")
    with pytest.raises(BagError, match="none of the 2 files of"):
        Bag(bag)


def test_one_file_that_does_not_decompress_is_read_as_far_as_it_does(two_files, caplog):
    bag, file = two_files
    metadata = bag / "metadata.yaml"
    text = metadata.read_text().replace(".mcap", ".mcap.zstd")
    text = text.replace("compression_format: ''", "compression_format: zstd")
    metadata.write_text(text.replace("compression_mode: ''", "compression_mode: FILE"))
    for path in list(bag.glob("*.mcap")):
        packed = storage.zstd.compress(path.read_bytes())
        cut = len(packed) // 2 if path == file else len(packed)
        path.with_name(f"{path.name}.zstd").write_bytes(packed[:cut])
        path.unlink()
    with Bag(bag) as opened:
        assert 8 <= len(list(opened.messages(["/image"]))) < 16
    assert f"{file.name}.zstd cannot be decompressed" in caplog.text


def test_a_file_that_the_metadata_names_often_is_opened_once(make_bag):
    bag = make_bag("sqlite3")
    with Bag(bag) as opened:
        count = len(list(opened.messages()))
    (name,) = (file.name for file in bag.glob("*.db3"))
    metadata = bag / "metadata.yaml"
    listed = f"relative_file_paths: [{', '.join([name, f'../{name}'] * 50)}]"
    lines, skip = [], False
    for line in metadata.read_text().splitlines():
        skip = (line.strip().startswith("-") and skip) or line.strip() == "relative_file_paths:"
        if line.strip() == "relative_file_paths:":
            lines.append(line.partition("relative")[0] + listed)
        elif not skip:
            lines.append(line)
    metadata.write_text("\n".join(lines))
    with Bag(bag) as opened:
        assert opened.damage is None
        assert len(list(opened.messages())) == count > 0


def test_no_name_in_a_bag_reaches_the_terminal_as_a_command(make_bag):
    (file,) = make_bag("sqlite3").glob("*.db3")
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE topics SET name = name || ?", ("\x1b]0;title\x07",))
    with Bag(file) as bag, pytest.raises(BagError) as error:
        bag.topic("/nothing")
    assert "\\x1b]0;title\\x07" in str(error.value)
    assert "\x1b" not in str(error.value)
