import array
import re

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="images are tested as ROS messages: run under scripts/env")

from graph import compressed_message, image_message
from malformed import MALFORMED, jpeg, png, smooth
from sensor_msgs.msg import Image

from objectomaly_ros.arrays.image_messages import (
    ALIASES,
    ENCODINGS,
    decode_image,
    decode_score,
)
from objectomaly_ros.ros.images import fill

pytestmark = pytest.mark.ros

LIMIT = 10_000


def decode(message, max_pixels=LIMIT):
    return decode_image(message, max_pixels)


def sampled(pattern, image):
    """What a sensor with this colour pattern sees."""
    mosaic = np.empty(image.shape[:2], np.uint8)
    for index, colour in enumerate(pattern):
        y, x = divmod(index, 2)
        mosaic[y::2, x::2] = image[y::2, x::2, "rgb".index(colour)]
    return mosaic


def yuv(image):
    """Y, U, V planes of BT.601 video range, as cameras give them."""
    i420 = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)
    height, width = image.shape[:2]
    luma = i420[:height]
    u, v = i420[height:].reshape(2, height // 2, width // 2)
    return luma, u, v


def encoded(encoding, image):
    if encoding.endswith("16"):
        wide = encoded(encoding.replace("16", "8"), image).astype(np.uint16)
        return wide * 257  # 0..255 to 0..65535
    luma, u, v = yuv(image)
    u2, v2 = (np.repeat(plane, 2, axis=0) for plane in (u, v))
    if encoding in ("uyvy", "yuv422"):
        chroma = np.stack([u2, v2], -1).reshape(luma.shape)
        return np.stack([chroma, luma], -1)
    if encoding in ("yuyv", "yuv422_yuy2"):
        chroma = np.stack([u2, v2], -1).reshape(luma.shape)
        return np.stack([luma, chroma], -1)
    if encoding in ("nv12", "nv21"):
        planes = (u, v) if encoding == "nv12" else (v, u)
        return np.vstack([luma, np.stack(planes, -1).reshape(-1, luma.shape[1])])
    if encoding.startswith("bayer"):
        return sampled(encoding[6:10], image)
    alpha = np.full(image.shape[:2], 7, np.uint8)
    return {
        "rgb8": image,
        "bgr8": image[..., ::-1],
        "rgba8": np.dstack([image, alpha]),
        "bgra8": np.dstack([image[..., ::-1], alpha]),
        "mono8": image[..., 1],
    }[encoding]


def message_of(encoding, pixels, image, padding=0, big_endian=False):
    if big_endian:
        pixels = pixels.byteswap()
    rows = np.ascontiguousarray(pixels).reshape(pixels.shape[0], -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=99)
    message = image_message(1.0, image, encoding, step=rows.shape[1], is_bigendian=int(big_endian))
    message.data = array.array("B", rows.tobytes())
    return message


@pytest.mark.parametrize("padding", [0, 10])
@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_every_encoding_gives_the_picture(encoding, padding):
    image = smooth()
    message = message_of(encoding, encoded(encoding, image), image, padding)
    result = decode(message)
    expected = image
    if encoding.startswith("mono"):
        expected = np.repeat(image[..., 1:2], 3, axis=2)
    assert result.dtype == np.uint8
    assert result.shape == image.shape
    assert result.flags.c_contiguous
    exact = not any(word in encoding for word in ("bayer", "yu", "uy", "nv"))
    difference = np.abs(result.astype(int) - expected)[2:-2, 2:-2].max()
    assert difference <= (1 if exact and "16" in encoding else 0 if exact else 8)


@pytest.mark.parametrize("encoding", [name for name in sorted(ENCODINGS) if name.endswith("16")])
def test_byte_order_is_minded(encoding):
    image = smooth()
    pixels = encoded(encoding, image)
    little = decode(message_of(encoding, pixels, image))
    big = decode(message_of(encoding, pixels, image, big_endian=True))
    np.testing.assert_array_equal(big, little)


@pytest.mark.parametrize(("alias", "encoding"), ALIASES.items())
def test_opencvs_names_are_understood(alias, encoding):
    image = smooth()
    pixels = encoded(encoding, image)
    np.testing.assert_array_equal(
        decode(message_of(alias, pixels, image)), decode(message_of(encoding, pixels, image))
    )


def test_the_last_row_may_lack_its_padding():
    image = smooth()
    message = message_of("rgb8", image, image, padding=20)
    message.data = message.data[:-20]
    np.testing.assert_array_equal(decode(message), image)


def test_compressed_images():
    image = smooth()
    np.testing.assert_array_equal(
        decode(compressed_message(1, png(image[..., ::-1]), "rgb8; png compressed bgr8")), image
    )
    result = decode(compressed_message(1, jpeg(image), "rgb8; jpeg compressed bgr8"))
    assert np.abs(result.astype(int) - image).max() < 12
    grey = decode(compressed_message(1, png(image[..., 1]), "mono8; png compressed"))
    np.testing.assert_array_equal(grey, np.repeat(image[..., 1:2], 3, axis=2))
    wide = decode(compressed_message(1, png(image[..., 1].astype(np.uint16) * 257), "png"))
    assert np.abs(wide.astype(int) - grey).max() <= 1


def test_compressed_bayer_images_get_their_colours():
    image = smooth()
    data = png(sampled("rggb", image))
    result = decode(compressed_message(1, data, "bayer_rggb8; png compressed bayer_rggb8"))
    assert np.abs(result.astype(int) - image)[2:-2, 2:-2].max() <= 8


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_images_say_what_is_wrong(case):
    message, text = MALFORMED[case]
    with pytest.raises(ValueError, match=re.escape(text)):
        decode(message)


@pytest.mark.parametrize("encoding", [*sorted(ENCODINGS), *ALIASES])
def test_larger_raw_images_than_allowed_are_refused(encoding):
    image = smooth()
    message = message_of(encoding, encoded(ALIASES.get(encoding, encoding), image), image)
    assert decode(message, max_pixels=48 * 64).shape == image.shape
    with pytest.raises(ValueError, match=r"64 x 48 pixels, .* limit is 3071 .max_pixels"):
        decode(message, max_pixels=48 * 64 - 1)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tiff"])
def test_larger_compressed_images_than_allowed_are_refused_undecoded(suffix, monkeypatch):
    data = cv2.imencode(suffix, smooth())[1].tobytes()
    message = compressed_message(1, data, suffix)
    assert decode(message, max_pixels=48 * 64).shape == (48, 64, 3)
    monkeypatch.setattr(cv2, "imdecode", pytest.fail)
    with pytest.raises(ValueError, match=r"64 x 48 pixels, .* limit is 3071 .max_pixels"):
        decode(message, max_pixels=48 * 64 - 1)


def test_larger_score_maps_than_allowed_are_refused():
    message = image_message(1.0, np.ones((6, 8), np.float32), "32FC1")
    assert decode_score(message, 48).shape == (6, 8)
    with pytest.raises(ValueError, match="8 x 6 pixels, which is 48; the limit is 47 "):
        decode_score(message, 47)


@pytest.mark.parametrize(
    ("pixels", "encoding"),
    [
        (np.random.default_rng(0).random((5, 7), np.float32), "32FC1"),
        (np.arange(35, dtype=np.uint8).reshape(5, 7), "mono8"),
        (np.arange(105, dtype=np.uint8).reshape(5, 7, 3), "rgb8"),
        (np.arange(70, dtype=np.uint8).reshape(10, 7)[::2], "mono8"),
    ],
)
def test_fill_and_back(pixels, encoding):
    message = fill(Image(), pixels, encoding)
    assert (message.height, message.width) == (5, 7)
    assert isinstance(message.data, array.array)
    back = np.frombuffer(message.data, pixels.dtype).reshape(pixels.shape)
    np.testing.assert_array_equal(back, pixels)
    assert message.step * 5 == len(message.data)


def test_fill_uses_memory_again_and_grows_with_the_image():
    message = fill(Image(), np.zeros((5, 7), np.uint8), "mono8")
    before = message.data
    fill(message, np.ones((5, 7), np.uint8), "mono8")
    assert message.data is before
    assert set(message.data) == {1}
    fill(message, np.full((6, 7), 3, np.uint8), "mono8")
    assert len(message.data) == 42
