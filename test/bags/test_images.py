from __future__ import annotations

import sqlite3
import struct
from contextlib import closing

import cv2
import numpy as np
import pytest

from objectomaly_ros.bags import BagError, BagWriter, read_images, read_masks, read_scores
from objectomaly_ros.bags.images import decode_image
from objectomaly_ros.bags.messages import image_message
from objectomaly_ros.bags.typestore import make_typestore

STORE = make_typestore()
PIXELS = np.random.default_rng(8).integers(0, 256, (6, 10, 3), dtype=np.uint8)


def image(encoding, data, height=6, width=10, step=None, is_bigendian=0):
    message = image_message(STORE, np.zeros((1, 1, 3), np.uint8), 1, "camera")
    message.encoding, message.height, message.width = encoding, height, width
    message.data = np.frombuffer(data, np.uint8)
    message.step = step or message.data.size // height
    message.is_bigendian = is_bigendian
    return message


def test_colour_orders_and_alpha():
    bgr = PIXELS[:, :, ::-1]
    opaque = np.full((6, 10, 1), 255, np.uint8)
    for encoding, array in (
        ("rgb8", PIXELS),
        ("bgr8", bgr),
        ("rgba8", np.dstack([PIXELS, opaque])),
        ("bgra8", np.dstack([bgr, opaque])),
    ):
        np.testing.assert_array_equal(decode_image(image(encoding, array.tobytes())), PIXELS)


def test_grey_images_get_three_equal_channels():
    grey = PIXELS[:, :, 0]
    back = decode_image(image("mono8", grey.tobytes()))
    np.testing.assert_array_equal(back, np.dstack([grey] * 3))


@pytest.mark.parametrize("is_bigendian", [0, 1])
def test_sixteen_bits_become_eight_in_either_byte_order(is_bigendian):
    grey = PIXELS[:, :, 0]
    wide = (grey.astype(np.uint16) * 257).astype(">u2" if is_bigendian else "<u2")
    back = decode_image(image("mono16", wide.tobytes(), is_bigendian=is_bigendian))
    assert np.abs(back[:, :, 0].astype(int) - grey).max() <= 1


def test_padding_at_the_end_of_rows_is_left_out():
    padded = np.zeros((6, 37), np.uint8)
    padded[:, :30] = PIXELS.reshape(6, 30)
    np.testing.assert_array_equal(decode_image(image("rgb8", padded.tobytes())), PIXELS)


def test_yuv_and_bayer_images_of_one_colour():
    colour = np.full((6, 10, 3), (200, 60, 30), np.uint8)
    mosaic = np.empty((6, 10), np.uint8)
    mosaic[0::2, 0::2], mosaic[1::2, 1::2] = 200, 30
    mosaic[0::2, 1::2] = mosaic[1::2, 0::2] = 60
    np.testing.assert_array_equal(
        decode_image(image("bayer_rggb8", mosaic.tobytes()))[2:-2, 2:-2], colour[2:-2, 2:-2]
    )
    planes = cv2.cvtColor(colour, cv2.COLOR_RGB2YUV_I420).reshape(-1)
    luma, u, v = planes[:60], planes[60:75], planes[75:90]
    nv12 = np.concatenate([luma, np.stack([u, v], -1).reshape(-1)])
    uyvy = np.empty((6, 5, 4), np.uint8)
    uyvy[..., 0], uyvy[..., 2] = u[0], v[0]
    uyvy[..., 1] = uyvy[..., 3] = luma[0]
    for encoding, data, step in (("nv12", nv12, 10), ("uyvy", uyvy, 20), ("yuv422", uyvy, 20)):
        back = decode_image(image(encoding, data.tobytes(), step=step))
        assert back.shape == (6, 10, 3)
        assert np.abs(back.astype(int) - colour).max() <= 3, encoding


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


def test_pixels_are_limited_before_anything_is_decoded(tmp_path):
    header = struct.pack(">IIBBBBB", 40_000, 30_000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header
    kind = STORE.types["sensor_msgs/msg/CompressedImage"]
    message = kind(
        header=image("rgb8", PIXELS.tobytes()).header,
        format="png",
        data=np.frombuffer(png, np.uint8),
    )
    with pytest.raises(BagError, match=r"'png'.*40000 x 30000 pixels.*the limit is 50000000"):
        decode_image(message)
    with pytest.raises(BagError, match="4000000000 x 6 pixels"):
        decode_image(image("mono8", bytes(60), width=4_000_000_000))


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
