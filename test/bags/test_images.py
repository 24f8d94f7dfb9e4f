from __future__ import annotations

import sqlite3
from contextlib import closing

import cv2
import numpy as np
import pytest

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.images import read_images, read_masks, read_scores
from objectomaly_ros.bags.messages import image_message
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
