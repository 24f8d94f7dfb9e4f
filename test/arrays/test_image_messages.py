"""Messages of rosbags; those of ROS are in test/ros/test_images.py."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from objectomaly_ros.arrays.image_messages import ImageDecoder, decode_image, decode_plane
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


def test_planes_come_back_exactly_and_of_their_encoding_only():
    score = np.random.default_rng(1).normal(size=(6, 10)).astype(np.float32)
    message = image("32FC1", score.tobytes())
    np.testing.assert_array_equal(decode_plane(message, "32FC1"), score)
    mask = PIXELS[:, :, 0]
    np.testing.assert_array_equal(decode_plane(image("mono8", mask.tobytes()), "mono8"), mask)
    with pytest.raises(ValueError, match="its encoding is '32FC1', not mono8"):
        decode_plane(message, "mono8")
    with pytest.raises(ValueError, match="the limit is 59"):
        decode_plane(message, "32FC1", max_pixels=59)


def test_pictures_in_colour_and_grey():
    png = cv2.imencode(".png", PIXELS[:, :, ::-1])[1].tobytes()
    np.testing.assert_array_equal(ImageDecoder().decode_picture(png), PIXELS)
    grey = cv2.imencode(".png", PIXELS[:, :, 0])[1].tobytes()
    expected = np.dstack([PIXELS[:, :, 0]] * 3)
    np.testing.assert_array_equal(ImageDecoder().decode_picture(grey), expected)
    with pytest.raises(ValueError, match="the limit is 59"):
        ImageDecoder(max_pixels=59).decode_picture(png)
    real = cv2.imencode(".tiff", PIXELS.astype(np.float32))[1].tobytes()
    with pytest.raises(ValueError, match="its pixels are float32; an image has 8 or 16 bits"):
        ImageDecoder().decode_picture(real)


def mosaic_of(colour, pattern="rggb", shape=(6, 10)):
    found = np.empty(shape, np.uint8)
    for index, name in enumerate(pattern):
        found[index // 2 :: 2, index % 2 :: 2] = colour["rgb".index(name)]
    return found


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("encoding", ["mono16", "bayer_rggb16", "rgb16", "16UC3"])
def test_images_of_fewer_bits_than_sixteen_are_not_black(encoding, bits):
    colour = (250, 60, 30)
    pixels = {
        "mono16": np.full((6, 10), 250, np.uint8),
        "bayer_rggb16": mosaic_of(colour),
        "rgb16": np.full((6, 10, 3), colour, np.uint8),
        "16UC3": np.full((6, 10, 3), colour[::-1], np.uint8),
    }[encoding]
    wide = (pixels.astype(np.uint16) * 257) >> (16 - bits)
    texts = []
    back = ImageDecoder(warn=texts.append).decode(image(encoding, wide.tobytes()))
    expected = (250,) * 3 if encoding == "mono16" else colour
    assert np.abs(back[2:-2, 2:-2].astype(int) - expected).max() <= 1
    assert len(texts) == (bits < 16)


@pytest.mark.parametrize("kind", ["png", "bayer_rggb16; png compressed bayer_rggb16"])
def test_compressed_images_of_fewer_bits_are_not_black(kind):
    grey = np.full((6, 10), 250 << 2, np.uint16)
    data = cv2.imencode(".png", grey)[1].reshape(-1)
    back = decode_image(SimpleNamespace(format=kind, data=data))
    assert (back[2:-2, 2:-2] == 250).all()


def test_a_picture_is_not_turned_as_exif_says():
    file = io.BytesIO()
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.fromarray(PIXELS).save(file, "JPEG", exif=exif)
    message = SimpleNamespace(format="jpeg", data=file.getvalue())
    assert decode_image(message).shape == PIXELS.shape


SCENE = np.repeat(np.repeat(PIXELS, 8, axis=0), 8, axis=1)  # 48 x 80


def jpeg(pixels, *options):
    bgr = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    return cv2.imencode(".jpg", bgr, options)[1].tobytes()


def compressed(data, kind="jpeg"):
    return SimpleNamespace(format=kind, data=np.frombuffer(data, np.uint8))


@pytest.mark.parametrize(
    ("encoding", "channels"), [("rgb8", 3), ("mono8", 1), ("yuv422_yuy2", 2), ("8UC3", 3)]
)
def test_jpegs_that_a_driver_publishes_as_pixels_are_decoded_with_one_warning(encoding, channels):
    """ros-drivers/usb_cam issue 389: raw_mjpeg copies the JPEG into an Image."""
    size = 48 * 80 * channels
    data = jpeg(SCENE, cv2.IMWRITE_JPEG_QUALITY, 20)
    assert len(data) < size
    texts = []
    decoder = ImageDecoder(warn=texts.append)
    for _ in range(3):
        back = decoder.decode(image(encoding, data.ljust(size, b"\x07"), 48, 80))
        np.testing.assert_array_equal(back, decode_image(compressed(data)))
    assert texts == [f"they are JPEGs, though their encoding says {encoding}"]
    with pytest.raises(ValueError, match="cut short"):
        decode_image(image(encoding, data[:-60].ljust(size, b"\0"), 48, 80))


def test_pixels_that_begin_like_a_jpeg_stay_pixels():
    pixels = SCENE.copy()
    pixels[0, :2] = (0xFF, 0xD8, 0xFF), (0xE0, 0, 16)
    np.testing.assert_array_equal(decode_image(image("rgb8", pixels.tobytes(), 48, 80)), pixels)


@pytest.mark.parametrize("inside", ["mono8", "bgr8"])
def test_a_bayer_image_that_was_converted_before_its_compression_is_no_mosaic(inside):
    """ros-perception/image_transport_plugins issues 68 and 172, pull request 98."""
    data = jpeg(SCENE if inside == "bgr8" else SCENE[..., 1])
    back = decode_image(compressed(data, f"bayer_rggb8; jpeg compressed {inside}"))
    np.testing.assert_array_equal(back, decode_image(compressed(data)))


@pytest.mark.parametrize("inside", ["", "bayer_rggb8"])
def test_a_compressed_mosaic_gets_its_colours(inside):
    data = cv2.imencode(".png", mosaic_of((200, 60, 30)))[1].tobytes()
    back = decode_image(compressed(data, f"bayer_rggb8; png compressed {inside}"))
    np.testing.assert_array_equal(back[2:-2, 2:-2], np.full((2, 6, 3), (200, 60, 30)))


@pytest.mark.parametrize(
    "kind", ["16UC1; png compressed ", "16UC1; jpeg compressed ", "32FC1; compressedDepth rvl"]
)
def test_compressed_depth_is_no_image(kind):
    """realsenseai/realsense-ros issues 2140 and 2361."""
    data = cv2.imencode(".png", np.full((6, 10), 900, np.uint16))[1].tobytes()
    with pytest.raises(ValueError, match="it is a compressed depth image"):
        decode_image(compressed(data, kind))


@pytest.mark.parametrize("kind", ["h264", "rgb8; qoi compressed rgb8", ""])
def test_the_format_of_unreadable_data_is_named(kind):
    """ros-misc-utilities/foxglove_compressed_video_transport issue 8: a video is no image."""
    with pytest.raises(ValueError, match=rf"no known image format \(its format says '{kind}'\)"):
        decode_image(compressed(b"\0\0\0\1\x67" + bytes(300), kind))


def test_a_grey_jpeg_of_a_yuv_image_is_read():
    """ros-perception/image_transport_plugins issue 170."""
    data = jpeg(SCENE[..., 1])
    back = decode_image(compressed(data, "yuv422_yuy2; jpeg compressed mono8"))
    np.testing.assert_array_equal(back, decode_image(compressed(data)))


def without_tables(data):
    """Remove the Huffman tables, and put the AVI1 header of motion JPEG in the place of JFIF's."""
    out, at = b"\xff\xd8\xff\xe0\x00\x21AVI1" + bytes(27), 2
    while True:
        kind, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if kind not in (0xC4, 0xE0):
            out += data[at : at + 2 + length]
        at += 2 + length
        if kind == 0xDA:
            return out + data[at:]


@pytest.mark.parametrize("restarts", [0, 4])
def test_motion_jpeg_of_webcams_is_read(restarts):
    """loyd/rscam issue 20: no Huffman tables, and bytes too many before restart markers."""
    data = jpeg(SCENE, cv2.IMWRITE_JPEG_RST_INTERVAL, restarts)
    webcam = without_tables(re.sub(rb"\xff[\xd0-\xd7]", lambda m: b"\x3f\x3f" + m[0], data))
    expected = decode_image(compressed(data))
    np.testing.assert_array_equal(decode_image(compressed(webcam)), expected)
    np.testing.assert_array_equal(decode_image(compressed(webcam + bytes(999))), expected)
    with pytest.raises(ValueError, match="cut short"):
        decode_image(compressed(webcam[: len(webcam) * 2 // 3] + b"\xff\xd9"))
