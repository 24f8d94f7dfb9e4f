from __future__ import annotations

import io
import os
import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest
from videos import write_video

from objectomaly_ros.bags.drives import Video
from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.images import read_images
from objectomaly_ros.bags.make import main, write_frames_bag
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.bags.writer import BagWriter
from objectomaly_ros.geometry.camera_model import CameraModel

START = 1_700_000_000_000_000_000


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
def test_frames_come_back_exactly_with_stamps_and_frame_id(tmp_path, frames, storage, encoding):
    folder, arrays = frames
    count = write_frames_bag(
        folder,
        tmp_path / "bag",
        topic="/front/image",
        rate=20.0,
        start_ns=START,
        frame_id="front",
        encoding=encoding,
        storage=storage,
    )
    assert count == 4
    back = list(read_images(tmp_path / "bag", "/front/image"))
    assert [frame.stamp_ns for frame in back] == [START + i * 50_000_000 for i in range(4)]
    assert [frame.log_time for frame in back] == [frame.stamp_ns for frame in back]
    assert {frame.frame_id for frame in back} == {"front"}
    for frame, array in zip(back, arrays, strict=True):
        np.testing.assert_array_equal(frame.array, array)


def test_jpeg_files_are_taken_over_byte_by_byte(tmp_path, frames):
    _, arrays = frames
    folder = tmp_path / "jpegs"
    folder.mkdir()
    cv2.imwrite(str(folder / "0.jpg"), arrays[0][:, :, ::-1])
    write_frames_bag(folder, tmp_path / "bag", topic="/cam/image", encoding="jpeg", start_ns=START)
    with Bag(tmp_path / "bag") as bag:
        (message,) = [bag.decode(raw) for raw in bag.messages(["/cam/image/compressed"])]
        assert message.data.tobytes() == (folder / "0.jpg").read_bytes()
        assert message.format == "jpeg"
        (frame,) = read_images(bag)
    expected = cv2.imread(str(folder / "0.jpg"))[:, :, ::-1]
    np.testing.assert_array_equal(frame.array, expected)


def test_png_files_are_encoded_as_jpeg(tmp_path):
    columns, rows = np.meshgrid(np.arange(96), np.arange(64))
    smooth = np.dstack([columns, rows, np.full_like(rows, 90)])
    folder = tmp_path / "smooth"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), smooth[:, :, ::-1].astype(np.uint8))
    write_frames_bag(folder, tmp_path / "bag", encoding="jpeg", start_ns=START)
    (frame,) = read_images(tmp_path / "bag")
    assert np.abs(frame.array.astype(int) - smooth).max() < 12  # colours in their places


def test_camera_info_stands_beside_the_image_topic(tmp_path, frames):
    folder, _ = frames
    camera = CameraModel(50.0, 51.0, 24.0, 16.0, 48, 32, (0.1, 0.01, 0.0, 0.0, 0.0))
    write_frames_bag(folder, tmp_path / "bag", topic="/front/image", camera=camera, start_ns=START)
    with Bag(tmp_path / "bag") as bag:
        infos = [bag.decode(raw) for raw in bag.messages(["/front/camera_info"])]
        stamps = [frame.stamp_ns for frame in read_images(bag)]
    assert [i.header.stamp.sec * 10**9 + i.header.stamp.nanosec for i in infos] == stamps
    np.testing.assert_array_equal(infos[0].k, [50, 0, 24, 0, 51, 16, 0, 0, 1])
    np.testing.assert_array_equal(infos[0].p, [50, 0, 24, 0, 0, 51, 16, 0, 0, 0, 1, 0])
    assert (infos[0].width, infos[0].height, infos[0].distortion_model) == (48, 32, "plumb_bob")
    np.testing.assert_allclose(infos[0].d, [0.1, 0.01, 0, 0, 0])


def test_intrinsics_of_another_size_are_refused(tmp_path, frames):
    camera = CameraModel(50.0, 51.0, 24.0, 16.0, 640, 480)
    with pytest.raises(BagError, match=r"48 x 32 pixels, the intrinsics are for 640 x 480"):
        write_frames_bag(frames[0], tmp_path / "bag", camera=camera)


def test_one_stamp_a_frame(tmp_path, frames):
    with pytest.raises(BagError, match="4 frames but 2 stamps"):
        write_frames_bag(frames[0], tmp_path / "bag", stamps=[1, 2])


def test_unknown_encodings_are_refused(tmp_path, frames):
    with pytest.raises(BagError, match=r"'yuv'; use one of rgb8, bgr8, jpeg"):
        write_frames_bag(frames[0], tmp_path / "bag", encoding="yuv")


def test_the_command_makes_a_bag(tmp_path, frames, capsys):
    bag = tmp_path / "bag"
    status = main(
        [
            str(frames[0]),
            str(bag),
            "--rate",
            "5",
            "--camera",
            "50,50,24,16,48,32",
            "--topic",
            "/a/b",
        ]
    )
    assert status == 0
    assert "4 frames" in capsys.readouterr().out
    with Bag(bag) as opened:
        assert {name: topic.count for name, topic in opened.topics.items()} == {
            "/a/b": 4,
            "/a/camera_info": 4,
        }
        assert opened.duration == pytest.approx(0.6)


def test_the_command_says_what_is_wrong_and_returns_1(tmp_path, frames, capsys):
    assert main([str(frames[0]), str(tmp_path)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert main([str(tmp_path / "nowhere"), str(tmp_path / "bag")]) == 1
    assert "there is no such folder" in capsys.readouterr().err
    assert main([str(frames[0]), str(tmp_path / "bag"), "--stamps-from-names"]) == 1
    assert "frame0.png is no time stamp" in capsys.readouterr().err


class FullDisk(BagWriter):
    """A bag on a disk that is full from the third frame on."""

    def write_raw(self, topic, data, log_time):
        if self.counts[topic] == 2:
            self._writer.storage.bio = io.BufferedWriter(io.FileIO("/dev/full", "w"))
        super().write_raw(topic, data, log_time)
        self.checkpoint()


def test_a_full_disk_ends_the_command_with_one_line_and_leaves_nothing(
    tmp_path, frames, capsys, monkeypatch
):
    monkeypatch.setattr("objectomaly_ros.bags.make.BagWriter", FullDisk)
    assert main([str(frames[0]), str(tmp_path / "bags" / "bag")]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {tmp_path / 'bags' / 'bag'} cannot be written: no space left")
    assert list((tmp_path / "bags").iterdir()) == []


def test_frames_that_cannot_be_read_are_named(tmp_path, frames):
    bad = tmp_path / "bad.png"
    for make, words in (
        (lambda: os.mkfifo(bad), "it is a named pipe"),
        (lambda: bad.write_text("no image"), "8 bytes are damaged"),
        (lambda: bad.write_bytes(too_large()), "40000 x 30000 pixels.*the limit is"),
    ):
        bad.unlink(missing_ok=True)
        make()
        with pytest.raises(BagError, match=rf"bad\.png cannot be read: .*{words}"):
            write_frames_bag([bad], tmp_path / "bag")
        assert not (tmp_path / "bag").exists()


def too_large():
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR"
    return start + struct.pack(">IIBBBBB", 40_000, 30_000, 8, 2, 0, 0, 0) + b"IEND"


@pytest.fixture
def video(tmp_path):
    images = [np.full((48, 64, 3), 40 * index, np.uint8) for index in range(5)]
    return write_video(tmp_path / "drive.avi", 20, images)


@pytest.mark.parametrize(("rate", "gap_ns"), [(None, 50_000_000), (5.0, 200_000_000)])
def test_a_video_becomes_a_bag_at_its_own_rate_or_a_given_one(tmp_path, video, rate, gap_ns):
    assert write_frames_bag(video, tmp_path / "bag", rate=rate, start_ns=START) == 5
    back = list(read_images(tmp_path / "bag"))
    assert [frame.stamp_ns for frame in back] == [START + index * gap_ns for index in range(5)]
    assert [round(frame.array.mean() / 40) for frame in back] == list(range(5))


def test_frames_of_a_video_that_cannot_be_decoded_are_left_out(tmp_path, video, monkeypatch):
    whole = Video.pictures
    monkeypatch.setattr(
        Video,
        "pictures",
        lambda self, every: (None if i == 2 else p for i, p in enumerate(whole(self, every))),
    )
    assert write_frames_bag(video, tmp_path / "bag", encoding="jpeg", start_ns=0) == 4
    stamps = [frame.stamp_ns for frame in read_images(tmp_path / "bag")]
    assert stamps == [0, 50_000_000, 150_000_000, 200_000_000]


def test_no_frame_makes_no_bag(tmp_path, video, monkeypatch):
    monkeypatch.setattr(Video, "pictures", lambda self, every: iter([None] * 5))
    for frames in (video, []):
        with pytest.raises(BagError, match="no frame that can be decoded"):
            write_frames_bag(frames, tmp_path / "bag")
        assert not (tmp_path / "bag").exists()


def test_the_command_takes_a_video_and_refuses_other_files(tmp_path, video, capsys):
    assert main([str(video), str(tmp_path / "bag")]) == 0
    assert "5 frames in" in capsys.readouterr().out
    assert main([str(video), str(tmp_path / "named"), "--stamps-from-names"]) == 1
    assert "give the folder that holds the frames" in capsys.readouterr().err
    (tmp_path / "notes.txt").write_text("no video")
    assert main([str(tmp_path / "notes.txt"), str(tmp_path / "notes")]) == 1
    assert "no video that OpenCV can read" in capsys.readouterr().err


def test_real_frames(tmp_path, shared_dir):
    folder = shared_dir / "data" / "street_ood" / "clip_dev" / "images"
    if not folder.is_dir():
        pytest.skip(f"no clip at {folder}")
    count = write_frames_bag(folder, tmp_path / "clip", rate=15.0, encoding="jpeg", start_ns=START)
    frames = list(read_images(tmp_path / "clip"))
    assert len(frames) == count == 36
    assert frames[0].array.shape == (360, 480, 3)


@pytest.mark.parametrize("stamp", [-1, 2**31 * 10**9])
def test_stamps_that_no_message_holds_are_refused(tmp_path, frames, stamp):
    stamps = [stamp + index for index in range(4)]
    with pytest.raises(BagError, match=f"{stamp} ns does not fit into a message"):
        write_frames_bag(frames[0], tmp_path / "bag", stamps=stamps)


@pytest.mark.parametrize("rate", [0.0, -1.0, 1e-300, 1e300, float("inf"), float("nan")])
def test_a_rate_that_gives_no_stamps_is_refused(frames, tmp_path, rate):
    with pytest.raises(BagError, match="makes no sense; give one above 0"):
        write_frames_bag(frames[0], tmp_path / "bag", rate=rate)
    assert not (tmp_path / "bag").exists()


@pytest.mark.parametrize("topic", ["", "/", "image", "/a b", "//a", "/1", "/a/", "/\x1b[2J", "/ä"])
def test_a_topic_that_ros_cannot_have_is_refused(frames, tmp_path, topic):
    with pytest.raises(BagError, match="is no name of a topic"):
        write_frames_bag(frames[0], tmp_path / "bag", topic=topic)
    assert not (tmp_path / "bag").exists()


def test_the_module_runs_without_a_warning_of_python(frames, tmp_path):
    folder, _ = frames
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", "objectomaly_ros.bags.make"]
    done = subprocess.run(
        [*command, folder, tmp_path / "bag"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert done.stdout.startswith("4 frames in")
