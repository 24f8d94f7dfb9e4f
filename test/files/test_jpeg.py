"""JPEGs that lost a part, or only their end marker; decoded by OpenCV as in the product."""

from __future__ import annotations

import contextlib
import re

import cv2
import numpy as np
import pytest

from objectomaly_ros.arrays.image_messages import ImageDecoder
from objectomaly_ros.files.jpeg import Jpeg

decode_picture = ImageDecoder().decode_picture
END = b"\xff\xd9"
SAMPLING, RESTARTS = cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_RST_INTERVAL
PROGRESSIVE = cv2.IMWRITE_JPEG_PROGRESSIVE
KINDS = {
    "4:2:0": [],
    "4:2:2": [SAMPLING, 0x211111],
    "4:4:0": [SAMPLING, 0x121111],
    "4:4:4": [SAMPLING, 0x111111],
    "4:1:1": [SAMPLING, 0x411111],
    "best quality": [cv2.IMWRITE_JPEG_QUALITY, 100],
    "own Huffman tables": [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
    "restart at each block": [RESTARTS, 1],
    "restarts": [RESTARTS, 7],
    "progressive": [PROGRESSIVE, 1],
    "progressive 4:4:4": [PROGRESSIVE, 1, SAMPLING, 0x111111],
    "progressive with restarts": [PROGRESSIVE, 1, RESTARTS, 5],
}
BEHIND = (
    b"", b"\0" * 999, b"\xff", END + b"\0" * 9, END + b"\xff" * 9, END * 2,
    END + b"\xff\xd8\xff\xe0",
)  # fmt: skip


def scene(height=97, width=129, seed=0):
    """Random blobs in colour. One row and column more than blocks of 16 hold."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    blurred = cv2.GaussianBlur(noise, (0, 0), 2).astype(np.float32)
    return np.clip((blurred - 128) * 4 + 128, 0, 255).astype(np.uint8)


def jpeg(image, kind):
    return cv2.imencode(".jpg", image, KINDS[kind])[1].tobytes()


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    def data(self, kind, grey):
        image = scene(seed=sorted(KINDS).index(kind))
        return jpeg(image[..., 1] if grey else image, kind)

    def test_a_whole_one_is_read(self, kind, grey):
        data = self.data(kind, grey)
        expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        np.testing.assert_array_equal(decode_picture(data), expected)

    @pytest.mark.parametrize("behind", BEHIND)
    def test_a_whole_one_without_end_marker_or_with_padding_is_read(self, kind, grey, behind):
        data = self.data(kind, grey)
        np.testing.assert_array_equal(
            decode_picture(data.removesuffix(END) + behind), decode_picture(data)
        )

    @pytest.mark.parametrize("share", [0.45, 0.66, 0.9])
    @pytest.mark.parametrize("end", [END, b"", b"\0" * 999, b"\xff", END + b"\0" * 99])
    def test_one_that_lost_its_tail_is_refused(self, kind, grey, share, end):
        data = self.data(kind, grey)
        with pytest.raises(ValueError, match="cut short"):
            decode_picture(data[: round(len(data) * share)] + end)


def test_no_place_of_a_cut_hides_the_loss():
    data = jpeg(scene(65, 81, seed=3), "own Huffman tables")
    whole = decode_picture(data).astype(int)
    for end in range(data.index(b"\xff\xda") + 14, len(data) - 2):
        with contextlib.suppress(ValueError):
            read = decode_picture(data[:end] + END)
            changed = np.abs(read - whole).max(axis=2) > 8
            assert changed.mean() < 0.04, end  # not even one of 30 blocks is lost in full


def test_a_grey_corner_is_no_loss():
    for width in (128, 129):
        image = scene(96, width)
        image[-40:, -40:] = 128
        for kind in KINDS:
            data = jpeg(image, kind)
            assert (decode_picture(data)[-8:, -8:] == 128).all(), kind
            assert decode_picture(data[:-2]).shape == image.shape


def test_a_lost_packet_in_the_middle_of_restart_intervals_is_noticed():
    data = jpeg(scene(), "restarts")
    at = data.index(b"\xff\xd3")
    for start, length in ((at, 200), (at - 300, 250), (at - 300, 301)):
        with pytest.raises(ValueError, match="cut short"):
            decode_picture(data[:start] + data[start + length :])


def test_a_thumbnail_is_not_taken_for_the_picture():
    data, small = jpeg(scene(), "4:2:0"), jpeg(scene(16, 16), "4:2:0")
    block = b"Exif\0\0" + small
    header = b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block
    with_thumbnail = data[:2] + header + data[2:]
    np.testing.assert_array_equal(decode_picture(with_thumbnail), decode_picture(data))
    with pytest.raises(ValueError, match="cut short"):
        decode_picture(with_thumbnail[: len(with_thumbnail) * 2 // 3])


def test_a_missing_colour_is_noticed():
    data = jpeg(scene(), "progressive")
    scans = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    assert len(scans) > 5
    for at in scans[1:]:
        with pytest.raises(ValueError, match="cut short"):
            Jpeg(data[:at] + END)


def test_headers_alone_are_left_to_the_decoder():
    data = jpeg(scene(), "4:2:0")
    start = data.index(b"\xff\xda")
    for end in range(2, start):
        for tail in (b"", END):
            with pytest.raises(ValueError, match=r"damaged or in no known|cut short"):
                decode_picture(data[:end] + tail)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tiff"])
def test_other_formats_that_lost_their_tail_are_refused(suffix):
    data = cv2.imencode(suffix, scene())[1].tobytes()
    ends = (b"", data[-12:]) if suffix == ".png" else (b"",)
    for share in (0.3, 0.66, 0.98):
        for end in ends:
            with pytest.raises(ValueError, match=r"damaged|cut short|do not decode"):
                decode_picture(data[: round(len(data) * share)] + end)


def test_bytes_that_fill_up_before_markers_do_not_matter():
    for kind in ("4:2:0", "restarts", "progressive with restarts"):
        data = jpeg(scene(), kind)
        start = data.index(b"\xff\xda")
        filled = data[:start] + re.sub(
            rb"\xff([\xd0-\xd7\xd9\xc4\xda])", lambda m: b"\xff\xff" + m[0], data[start:]
        )
        assert len(filled) > len(data)
        np.testing.assert_array_equal(decode_picture(filled), decode_picture(data))
        with pytest.raises(ValueError, match="cut short"):
            decode_picture(filled[: len(filled) * 2 // 3] + END)


@pytest.mark.parametrize("run", [b"\xff", b"\xff\xd0", b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"])
def test_hostile_runs_take_linear_time(run):
    data = jpeg(scene(16, 16), "restarts")
    hostile = data[:-2] + run * (2_000_000 // len(run)) + b"\0" + END
    with contextlib.suppress(ValueError):  # ends at all: quadratic time would be hours
        decode_picture(hostile)
