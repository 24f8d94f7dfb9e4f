"""Messages are made smaller without losing what is asked for."""

import numpy as np
import pytest

from objectomaly_ros.bags.compact import (
    HEADER,
    IMAGE,
    begins_with_header,
    header_stamp_ns,
    only_header,
    round_scores,
)
from objectomaly_ros.bags.messages import image_message
from objectomaly_ros.bags.typestore import make_typestore

STAMP = 1_700_000_000_123_456_789


@pytest.fixture(scope="module")
def store():
    return make_typestore()


def serialised(store, array, encoding, frame_id="camera"):
    message = image_message(store, array, STAMP, frame_id, encoding)
    return bytes(store.serialize_cdr(message, IMAGE))


@pytest.mark.parametrize("frame_id", ["", "camera", "front/optical"])
def test_the_header_is_cut_out(store, frame_id):
    data = serialised(store, np.zeros((4, 4), np.uint8), "mono8", frame_id)
    header = store.deserialize_cdr(only_header(data), HEADER)
    assert (header.frame_id, header.stamp.nanosec) == (frame_id, STAMP % 10**9)
    assert header_stamp_ns(only_header(data)) == header_stamp_ns(data) == STAMP


@pytest.mark.parametrize(
    ("msgtype", "expected"),
    [(IMAGE, True), ("sensor_msgs/msg/CameraInfo", True), (HEADER, False),
     ("std_msgs/msg/String", False), ("std_msgs/msg/Float64MultiArray", False)],
)  # fmt: skip
def test_types_with_a_header_are_known(store, msgtype, expected):
    assert begins_with_header(store, msgtype) == expected


@pytest.mark.parametrize("frame_id", ["", "cam", "camera", "front/optical"])
@pytest.mark.parametrize("bits", [1, 12, 23])
def test_scores_are_rounded(store, bits, frame_id):
    score = np.random.default_rng(0).random((9, 7), np.float32)
    score[0, 0], score[0, 1] = np.nan, np.inf
    data = round_scores(serialised(store, score, "32FC1", frame_id), bits)
    message = store.deserialize_cdr(data, IMAGE)
    assert (message.encoding, message.header.frame_id) == ("32FC1", frame_id)
    rounded = message.data.view(np.float32).reshape(9, 7)
    np.testing.assert_allclose(rounded, score, rtol=0, atol=2.0 ** -(bits + 1))
    steps = rounded[1:] * 2**bits
    np.testing.assert_array_equal(steps, np.round(steps))


def test_other_images_are_not_rounded(store):
    data = serialised(store, np.arange(16, dtype=np.uint8).reshape(4, 4), "mono8")
    assert round_scores(data, 4) is data
