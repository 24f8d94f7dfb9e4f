"""Times and any range of the images of a bag, a folder and a video."""

import cv2
import numpy as np
import pytest
from offline_drives import START, STEP, picture
from videos import write_video

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.messages import compressed_message, image_message
from objectomaly_ros.bags.writer import BagWriter
from objectomaly_ros.offline.recording import Recording


def arrays(recording, stream):
    return [found.image for found in recording.pictures(stream)]


def test_a_bag_gives_its_times_and_images(make_drive):
    recording = Recording(make_drive(stamps=np.arange(23) / 5))
    (stream,) = recording.streams()
    assert stream.topic == "/image"
    assert stream.log_times.tolist() == [START + i * STEP for i in range(23)]
    assert stream.stamps.tolist() == [START + 2 * i * STEP for i in range(23)]
    for chosen in (slice(None), slice(5, 9), slice(3, 20, 4)):
        found = list(recording.pictures(stream[chosen]))
        assert {one.frame_id for one in found} == {"front"}
        for one, index in zip(found, range(23)[chosen], strict=True):
            np.testing.assert_array_equal(one.image, picture(index))


def test_images_of_one_log_time_are_told_apart(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/image", "sensor_msgs/msg/Image")
        for index in range(6):
            message = image_message(writer.store, picture(index), START + index, "front")
            writer.write("/image", message, START + index // 3)
    recording = Recording(tmp_path / "bag")
    (stream,) = recording.streams()
    assert stream.ranks.tolist() == [0, 1, 2, 0, 1, 2]
    for first in range(6):
        found = arrays(recording, stream[first:])
        np.testing.assert_array_equal(found, [picture(i) for i in range(first, 6)])


def test_what_does_not_decode_is_a_reason(make_drive):
    recording = Recording(make_drive(count=3, broken=[1]))
    first, second, third = arrays(recording, recording.streams()[0])
    assert first.shape == third.shape
    assert "too short" in second


def test_all_image_topics_or_those_named(make_drive):
    recording = Recording(make_drive(topics=("/a/image", "/b/image", "/c/image/compressed")))
    assert [s.topic for s in recording.streams()] == ["/a/image", "/b/image", "/c/image/compressed"]
    assert [s.topic for s in recording.streams(["/b/image"])] == ["/b/image"]
    with pytest.raises(BagError, match="did you mean /b/image"):
        recording.streams(["/b/imag"])
    with pytest.raises(BagError, match="did you mean /c/image/compressed"):
        recording.streams(["/c/image"])


def test_depths_are_no_images_unless_they_are_named(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        for topic in ("/color/image", "/depth/image", "/depth/image/compressed"):
            kind = "CompressedImage" if topic.endswith("compressed") else "Image"
            writer.add_topic(topic, f"sensor_msgs/msg/{kind}")
        message = image_message(writer.store, picture(0), START, "front")
        writer.write("/color/image", message, START)
        depth = image_message(writer.store, np.ones((4, 4), np.float32), START, "front", "32FC1")
        writer.write("/depth/image", depth, START)
        packed = compressed_message(
            writer.store, b"x", START, "front", "16UC1; compressedDepth png"
        )
        writer.write("/depth/image/compressed", packed, START)
    recording = Recording(tmp_path / "bag")
    assert [stream.topic for stream in recording.streams()] == ["/color/image"]
    assert [stream.topic for stream in recording.streams(["/depth/image"])] == ["/depth/image"]


def test_a_folder_has_a_rate_or_stamps_as_names(make_folder, tmp_path):
    (stream,) = Recording(make_folder(), 5.0).streams()
    assert stream.stamps.tolist() == [i * 200_000_000 for i in range(8)]
    named = tmp_path / "named"
    named.mkdir()
    for index in range(3):
        name = f"{1_600_000_000 + index}.5.png"
        cv2.imwrite(str(named / name), picture(index)[..., ::-1])
    recording = Recording(named)
    (stream,) = recording.streams()
    assert stream.stamps.tolist() == [(1_600_000_000 + i) * 10**9 + 5 * 10**8 for i in range(3)]
    np.testing.assert_array_equal(arrays(recording, stream[1:])[0], picture(1))


def test_any_range_of_a_video_is_the_same_images(tmp_path):
    recording = Recording(write_video(tmp_path / "drive.avi", 12.5, map(picture, range(30))))
    (stream,) = recording.streams()
    assert len(stream) == 30
    assert stream.stamps[1] == 80_000_000
    whole = arrays(recording, stream)
    for chosen in (slice(17, 21), slice(2, 30, 7)):
        np.testing.assert_array_equal(arrays(recording, stream[chosen]), whole[chosen])


def test_a_recording_that_has_changed_is_an_error(make_drive, tmp_path):
    (stream,) = Recording(make_drive(count=9)).streams()
    shorter = Recording(make_drive("shorter", count=4))
    with pytest.raises(BagError, match="has changed"):
        arrays(shorter, stream)
