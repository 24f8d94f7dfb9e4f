"""Drives: bags, folders and videos as images in order."""

import cv2
import numpy as np
import pytest
from rosbags.rosbag1 import Writer
from rosbags.rosbag2.storage_mcap import zstd
from rosbags.typesys import Stores, get_typestore
from videos import write_video

from objectomaly_ros.bags.drives import FOLDER_RATE_HZ, open_drive
from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.make import write_frames_bag


def pictures(folder, count=9):
    folder.mkdir()
    for index in range(count):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((48, 64, 3), 25 * index, np.uint8))
    return folder


def levels(drive, every=1):
    return [round(float(image.mean()) / 25) for image in drive.images(every)]


def test_a_folder_is_read_in_order(tmp_path):
    drive = open_drive(pictures(tmp_path / "frames"))
    assert (drive.count, drive.rate_hz) == (9, FOLDER_RATE_HZ)
    assert levels(drive) == list(range(9))
    assert levels(drive, 4) == [0, 4, 8]
    assert open_drive(tmp_path / "frames", rate_hz=2).seconds == 4.5


@pytest.mark.parametrize("whole", [True, False])
def test_a_bag_is_read_in_order(tmp_path, whole):
    write_frames_bag(pictures(tmp_path / "frames"), tmp_path / "bag", rate=5)
    (file,) = (tmp_path / "bag").glob("*.mcap")
    drive = open_drive(tmp_path / "bag" if whole else file)
    assert drive.count == 9
    assert drive.rate_hz == pytest.approx(5, rel=0.2)
    assert levels(drive, 3) == [0, 3, 6]


@pytest.mark.parametrize("whole", [True, False])
def test_a_ros_1_bag_is_read_in_order(tmp_path, whole):
    store, msgtype = get_typestore(Stores.ROS1_NOETIC), "sensor_msgs/msg/Image"
    (tmp_path / "drive").mkdir()
    path = tmp_path / "drive" / "drive.bag"
    with Writer(path) as writer:
        connection = writer.add_connection("/image", msgtype, typestore=store)
        for index in range(5):
            stamp = store.types["builtin_interfaces/msg/Time"](index, 0)
            header = store.types["std_msgs/msg/Header"](index, stamp, "camera")
            data = np.full(12, 25 * index, np.uint8)
            image = store.types[msgtype](header, 2, 2, "rgb8", 0, 6, data)
            writer.write(connection, index * 10**9, store.serialize_ros1(image, msgtype))
    drive = open_drive(path.parent if whole else path)
    assert drive.count == 5
    assert levels(drive, 2) == [0, 2, 4]


def test_a_compressed_bag_file_is_a_drive(tmp_path):
    write_frames_bag(pictures(tmp_path / "frames"), tmp_path / "bag")
    (file,) = (tmp_path / "bag").glob("*.mcap")
    packed = tmp_path / "drive.mcap.zst"
    packed.write_bytes(zstd.compress(file.read_bytes()))
    assert levels(open_drive(packed), 3) == [0, 3, 6]


def test_a_video_is_read_in_order(tmp_path):
    images = [np.full((48, 64, 3), 25 * index, np.uint8) for index in range(9)]
    drive = open_drive(write_video(tmp_path / "drive.avi", 12, images))
    assert (drive.count, drive.rate_hz) == (9, 12)
    assert levels(drive, 2) == [0, 2, 4, 6, 8]


def test_a_damaged_image_is_left_out(tmp_path, caplog):
    folder = pictures(tmp_path / "frames")
    (folder / "3.png").write_bytes(b"no picture")
    assert levels(open_drive(folder)) == [0, 1, 2, 4, 5, 6, 7, 8]
    assert "3.png is left out" in caplog.text


def test_what_is_no_drive_is_told(tmp_path):
    (tmp_path / "notes.txt").write_text("no video")
    with pytest.raises(BagError, match=r"notes\.txt is no bag .* and no video"):
        open_drive(tmp_path / "notes.txt")
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(BagError, match=r"1\.png is a single image: give the folder"):
        open_drive(tmp_path / "1.png")
    with pytest.raises(FileNotFoundError):
        open_drive(tmp_path / "missing.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BagError):
        open_drive(tmp_path / "empty")
