from __future__ import annotations

import sqlite3
from contextlib import closing

import cv2
import numpy as np
import pytest

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.images import check_images, read_images, read_masks, read_scores
from objectomaly_ros.bags.messages import image_message
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.bags.typestore import make_typestore
from objectomaly_ros.bags.writer import BagWriter

STORE = make_typestore()
PIXELS = np.random.default_rng(8).integers(0, 256, (6, 10, 3), dtype=np.uint8)


def test_scores_and_masks_come_back_exactly(tmp_path):
    score = np.random.default_rng(1).normal(size=(6, 10)).astype(np.float32)
    mask = np.array([[0, 1, 255], [1, 0, 255]], np.uint8)
    with BagWriter(tmp_path / "bag") as writer:
        for topic, array, encoding in (("/score", score, "32FC1"), ("/mask", mask, "mono8")):
            writer.add_topic(topic, "sensor_msgs/msg/Image")
            writer.write(topic, image_message(writer.store, array, 5, "camera", encoding), 9)
    (score_back,) = read_scores(tmp_path / "bag", "/score")
    (mask_back,) = read_masks(tmp_path / "bag", "/mask")
    np.testing.assert_array_equal(score_back.array, score)
    np.testing.assert_array_equal(mask_back.array, mask)
    assert score_back.array.dtype == np.float32
    assert (mask_back.stamp_ns, mask_back.log_time, mask_back.frame_id) == (5, 9, "camera")


def test_a_grey_jpeg_is_an_image_too(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/image/compressed", "sensor_msgs/msg/CompressedImage")
        kind = writer.store.types["sensor_msgs/msg/CompressedImage"]
        header = image_message(writer.store, PIXELS, 1, "camera").header
        _, data = cv2.imencode(".jpg", np.full((8, 8), 77, np.uint8))
        message = kind(header=header, format="mono8; jpeg compressed mono8", data=data.reshape(-1))
        writer.write("/image/compressed", message, 1)
    (frame,) = read_images(tmp_path / "bag")
    np.testing.assert_array_equal(frame.array, np.full((8, 8, 3), 77))


@pytest.mark.parametrize(
    ("array", "encoding"),
    [
        (np.zeros((4, 4), np.uint8), "rgb8"),
        (np.zeros((4, 4, 3), np.float32), "rgb8"),
        (np.zeros((4, 4, 3), np.uint8), "mono8"),
        (np.zeros((4, 4), np.float64), "32FC1"),
        (np.zeros((0, 4, 3), np.uint8), "bgr8"),
        (np.zeros((4, 4, 3), np.uint8), "yuyv"),
    ],
)
def test_arrays_that_do_not_fit_the_encoding_are_refused(array, encoding):
    with pytest.raises(BagError, match=encoding):
        image_message(STORE, array, 0, "camera", encoding)


def test_an_image_is_read_by_the_standard_definition_whatever_the_bag_says(tmp_path):
    with BagWriter(tmp_path / "bag", storage="sqlite3") as writer:
        writer.add_topic("/image", "sensor_msgs/msg/Image")
        writer.write("/image", image_message(writer.store, PIXELS, 5, "camera"), 9)
    with closing(sqlite3.connect(tmp_path / "bag" / "bag.db3")) as database:
        database.execute(
            "UPDATE message_definitions SET encoded_message_definition = 'string[999999] x'"
        )
        database.commit()
    (frame,) = read_images(tmp_path / "bag")
    np.testing.assert_array_equal(frame.array, PIXELS)


def write(folder, *given):
    """Write messages of (encoding, step, data), 10 x 6 pixels each, into a bag."""
    with BagWriter(folder) as writer:
        writer.add_topic("/image", "sensor_msgs/msg/Image")
        for number, (encoding, step, data) in enumerate(given):
            message = image_message(writer.store, PIXELS, number, "camera")
            message.encoding, message.step = encoding, step
            message.data = np.frombuffer(data, np.uint8)
            writer.write("/image", message, number)
    return folder


def test_a_bag_is_read_as_the_node_reads_its_topics(tmp_path):
    """What else the decoder of both can do is in test/arrays/test_image_messages.py."""
    grey, clear = PIXELS[..., 0], np.dstack([PIXELS[..., ::-1], PIXELS[..., 0]])
    padded = np.zeros((6, 40), np.uint8)
    padded[:, :30] = PIXELS.reshape(6, 30)
    bag = write(
        tmp_path / "bag",
        ("8UC1", 10, grey.tobytes()),
        ("8UC4", 40, clear.tobytes()),
        ("rgb8", 40, padded.tobytes()[:-10]),  # the last row is not padded
    )
    first, second, third = (frame.array for frame in read_images(bag))
    np.testing.assert_array_equal(first, np.dstack([grey] * 3))
    np.testing.assert_array_equal(second, PIXELS)
    np.testing.assert_array_equal(third, PIXELS)


def test_images_of_ten_bits_are_read_with_one_warning(tmp_path, caplog):
    wide = (PIXELS[..., 0].astype(np.uint16) << 2).tobytes()
    bag = write(tmp_path / "bag", *[("mono16", 20, wide)] * 3)
    for frame in read_images(bag):
        np.testing.assert_array_equal(frame.array[..., 1], PIXELS[..., 0])
    (record,) = caplog.records
    assert "of their 16 bits these images use 10" in record.message


def test_whether_images_can_be_decoded_is_known_from_the_first_ones(tmp_path):
    depth = ("16UC1", 20, bytes(120))
    with Bag(write(tmp_path / "good", depth, depth, ("rgb8", 30, PIXELS.tobytes()))) as bag:
        check_images(bag)
    with (
        Bag(write(tmp_path / "bad", *[depth] * 30)) as bag,
        pytest.raises(BagError, match=r"no image on topic /image .* is that of a depth image"),
    ):
        check_images(bag)
