from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from objectomaly_ros.files.picture_size import (
    MAX_PIXELS,
    check_pixels,
    check_work,
    picture_size,
)


def encoded(suffix, *options, shape=(5, 7, 3)):
    return cv2.imencode(suffix, np.full(shape, 90, np.uint8), options)[1].tobytes()


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, *more, pixels=bytes(100)):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + b"".join(more)
        + png_chunk(b"IDAT", zlib.compress(pixels))
        + png_chunk(b"IEND", b"")
    )


def tiff(entries, order="<"):
    """A TIFF of (tag, type, value) entries and no pixels."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    body = b"".join(
        struct.pack(f"{order}HHI", tag, kind, 1)
        + struct.pack(order + ("H2x" if kind == 3 else "I"), value)
        for tag, kind, value in entries
    )
    return head + struct.pack(f"{order}H", len(entries)) + body + bytes(4)


@pytest.mark.parametrize(
    "data",
    [
        encoded(".png"),
        encoded(".jpg"),
        encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        encoded(".jpg", shape=(5, 7)),
        encoded(".bmp"),
        encoded(".tiff"),
        encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 80),
        encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 101),
        encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 101, shape=(5, 7, 4)),
    ],
)
def test_the_size_of_what_opencv_writes(data):
    assert picture_size(data) == (7, 5)


def test_a_jpeg_with_other_segments_and_filling_before_its_frame():
    data = encoded(".jpg")
    comment = b"\xff\xfe" + struct.pack(">H", 2 + 6) + b"\xff\xc0abcd"
    padded = data[:2] + comment + b"\x00\xff\x00\xff\xff" + data[3:]
    assert cv2.imdecode(np.frombuffer(padded, np.uint8), cv2.IMREAD_COLOR).shape == (5, 7, 3)
    assert picture_size(padded) == (7, 5)


def test_webp_with_an_extended_header():
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\x3f\x00" + b"\x0f\x27\x00"
    assert picture_size(b"RIFF" + bytes(4) + b"WEBP" + extended) == (16384, 10000)


def test_bmp_headers_old_and_new():
    old = b"BM" + bytes(12) + struct.pack("<IHH", 12, 300, 200)
    downwards = b"BM" + bytes(12) + struct.pack("<Iii", 40, 300, -200)
    assert picture_size(old) == picture_size(downwards) == (300, 200)


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_entries_given_twice_and_tiles_count_with_the_larger_one(order):
    assert picture_size(tiff([(256, 3, 9), (257, 4, 4)], order)) == (9, 4)
    twice = [(256, 4, 40_000), (256, 4, 8), (257, 4, 40_000), (257, 4, 8)]
    assert picture_size(tiff(twice, order)) == (40_000, 40_000)
    tiles = [(256, 4, 8), (257, 4, 8), (322, 4, 30_000), (323, 4, 30_000)]
    assert picture_size(tiff(tiles, order)) == (30_000, 30_000)


def test_a_tiff_whose_size_is_of_another_type_is_refused():
    assert picture_size(tiff([(256, 16, 9), (257, 4, 4)])) is None


@pytest.mark.parametrize(
    "data", [b"", b"no picture", b"\xff\xd8\xff\xd9", b"BM", b"II*\0", b"GIF89a" + bytes(20)]
)
def test_what_is_no_picture(data):
    assert picture_size(data) is None


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff", ".webp"])
def test_every_beginning_of_a_picture_gives_its_size_or_none(suffix):
    data = encoded(suffix)
    sizes = {picture_size(data[:length]) for length in range(len(data))}
    assert sizes <= {None, (7, 5)}


def test_a_chunk_that_claims_more_than_the_file_is_refused():
    data = encoded(".png")
    at = data.index(b"IDAT") - 4
    assert picture_size(data) == (7, 5)
    assert picture_size(data[:at] + b"\x7f\xff\xff\xff" + data[at + 4 :]) is None


def test_a_small_file_that_claims_many_pixels_is_refused_with_both_numbers():
    data = png(40_000, 30_000)
    assert len(data) < 200
    size = picture_size(data)
    assert size == (40_000, 30_000)
    with pytest.raises(ValueError, match=r"40000 x 30000 pixels.*1200000000.*limit is 50000000"):
        check_pixels(*size)
    check_pixels(10_000, MAX_PIXELS // 10_000)
    with pytest.raises(ValueError, match="the limit is 100"):
        check_pixels(11, 10, limit=100)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (70, 50)])
@pytest.mark.parametrize(
    ("kind", "mode"),
    [*(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")), ("JPEG", "L"),
     ("JPEG", "RGB")],
)  # fmt: skip
def test_pictures_take_no_more_work_than_is_allowed(kind, mode, size):
    array = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(array).convert(mode).save(file, kind, progressive=True)
    check_work(file.getvalue(), size[1], size[0])


def test_an_interlaced_png_takes_no_more_work_than_is_allowed():
    rows = [b"\0" + bytes(-(-200 // step)) for step in (8, 8, 4, 4, 2, 2, 1) for _ in range(200)]
    check_work(png(200, 200, pixels=b"".join(rows)), 200, 200)


def test_a_png_whose_pixels_go_on_is_refused():
    bomb = png(100, 100, pixels=bytes(10**7))
    assert len(bomb) < 20_000
    with pytest.raises(ValueError, match="more than its 100 x 100 pixels"):
        check_work(bomb, 100, 100)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_png_of_many_compressed_texts_is_refused(kind):
    text = png_chunk(kind, b"a\0\0" + zlib.compress(bytes(10**6)))
    check_work(png(9, 9, text), 9, 9)
    with pytest.raises(ValueError, match="compressed texts"):
        check_work(png(9, 9, text * 11), 9, 9)


def test_a_jpeg_of_many_scans_is_refused():
    whole = encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    many = whole[:-2] + 1000 * scan + b"\xff\xd9"
    check_work(many, 7, 5)
    check_work(whole, 7000, 7000)
    with pytest.raises(ValueError, match=r"it has \d+ scans of 7000 x 7000"):
        check_work(many, 7000, 7000)
