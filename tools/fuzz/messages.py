"""Targets that are image messages, raw and compressed, without ROS."""

from __future__ import annotations

import functools
from pathlib import Path
from random import Random
from types import SimpleNamespace

import cv2
import numpy as np

from objectomaly_ros.arrays.image_messages import (
    ALIASES,
    DEPTH,
    ENCODINGS,
    decode_image,
    decode_score,
)
from tools.fuzz.mutations import damage_any
from tools.fuzz.worker import Input, Target

BYTES = {"16": 2, "32": 4, "64": 8}
FORMATS = (
    "jpeg", "png", "bgr8; jpeg compressed bgr8", "bayer_rggb8; png", "16UC1; compressedDepth",
    "", ";" * 99, "bayer_grbg16; jpeg compressed ",
)  # fmt: skip
PICTURE = np.random.default_rng(1).integers(0, 256, (24, 32, 3), np.uint8)


def make_image(random: Random) -> Input:
    """An Image that fits its encoding, but for up to two of its fields."""
    encoding = random.choice((*ENCODINGS, *ALIASES, *DEPTH, "32FC1", "", "rgb9", "\u00e4" * 99))
    width, height = (random.choice((1, 2, 6, 16, 17, 64)) for _ in "xy")
    channels = ENCODINGS.get(ALIASES.get(encoding, encoding), (4, None))[0]
    size = next((size for bits, size in BYTES.items() if bits in encoding), 1)
    step = width * channels * size + random.choice((0, 0, 0, 1, 7))
    fields = {
        "width": width, "height": height, "encoding": encoding, "step": step,
        "is_bigendian": random.choice((0, 0, 1, 255)),
        "data": random.randbytes(step * height * (3 if encoding.startswith("nv") else 2) // 2),
    }  # fmt: skip
    for name in random.sample(("width", "height", "step", "data"), random.choice((0, 0, 1, 2))):
        if name == "data":
            fields[name] = damage_any(fields[name], random)
        else:
            near = fields[name] - 1, fields[name] + 1, fields[name] * 2
            fields[name] = random.choice((0, 1, *near, 2**16, 2**31, 2**32 - 1))
    return fields


@functools.cache
def pictures() -> list[bytes]:
    """Small pictures in every format that OpenCV writes here."""
    deep, grey = PICTURE.astype(np.uint16) * 257, PICTURE[..., 0].copy()
    clear = np.dstack([PICTURE, grey])
    found = []
    for suffix, pixels, *flags in (
        (".png", PICTURE), (".png", grey), (".png", deep), (".png", clear), (".bmp", PICTURE),
        (".png", (grey > 99) * np.uint8(255), cv2.IMWRITE_PNG_BILEVEL, 1), (".bmp", grey),
        (".jpg", PICTURE), (".jpg", grey), (".jpg", PICTURE, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        (".jpg", PICTURE, cv2.IMWRITE_JPEG_RST_INTERVAL, 2), (".webp", PICTURE), (".webp", clear),
        (".webp", PICTURE, cv2.IMWRITE_WEBP_QUALITY, 50), (".tif", PICTURE), (".tif", deep),
        (".tif", PICTURE.astype(np.float32)), (".tif", grey, cv2.IMWRITE_TIFF_COMPRESSION, 1),
        (".ppm", PICTURE), (".gif", PICTURE),
    ):  # fmt: skip
        done, data = cv2.imencode(suffix, pixels, flags)
        assert done, suffix
        found.append(data.tobytes())
    return found


def make_compressed(random: Random) -> Input:
    """A CompressedImage of a damaged picture."""
    kind = random.choice(FORMATS)
    return {"format": kind, "data": damage_any(random.choice(pictures()), random)}


def use_message(given: Input, folder: Path) -> None:
    """Decode a message as an image, and a float one as a score map."""
    message = SimpleNamespace(**given)
    if given.get("encoding") == "32FC1":
        score = decode_score(message)
        assert score.shape == (message.height, message.width), score.shape
        assert score.dtype == np.float32, score.dtype
        return
    image = decode_image(message)
    assert image.dtype == np.uint8, image.dtype
    assert image.ndim == 3, image.shape
    assert image.shape[2] == 3, image.shape
    if "encoding" in given:
        assert image.shape[:2] == (message.height, message.width), image.shape


TARGETS = (
    Target("images", make_image, use_message, (ValueError,), (__name__,)),
    Target("compressed", make_compressed, use_message, (ValueError,), (__name__,)),
)
