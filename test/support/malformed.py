"""Malformed images, and the error for each."""

import array

import cv2
import numpy as np
from graph import compressed_message, image_message


def smooth(shape=(48, 64)):
    """Slow gradients: survive subsampled colours and Bayer patterns."""
    y, x = np.indices(shape, np.float32)
    channels = 40 + 2.5 * x, 60 + 3 * y, 200 - x - y
    return np.stack(channels, -1).astype(np.uint8)


def jpeg(image):
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def png(image):
    return cv2.imencode(".png", image)[1].tobytes()


def image(**fields):
    return image_message(1.0, smooth(), **fields)


MALFORMED = {
    "no pixels": (image(height=0, width=0, step=0, data=array.array("B")), "it is empty: 0 x 0"),
    "no height": (image(height=0), "it is empty: 64 x 0"),
    "no width": (image(width=0), "it is empty: 0 x 48"),
    "step of zero": (image(step=0), "step is 0 bytes, but 64 pixels of rgb8 take 192"),
    "step too small": (image(step=191), "step is 191 bytes, but 64 pixels of rgb8 take 192"),
    "step too large": (image(step=400), "data is too short: 9216 bytes, but 48 rows with step 400"),
    "data cut short": (image(data=array.array("B", bytes(100))), "data is too short: 100 bytes"),
    "no data": (image(data=array.array("B")), "data is too short: 0 bytes"),
    "gigantic claim": (
        image(height=2**32 - 1, width=2**31, step=2**32 - 1),
        "it has 2147483648 x 4294967295 pixels, which is 9223372034707292160; the limit is",
    ),
    "no encoding": (image(encoding=""), "its encoding '' is not supported; supported: mono8"),
    "endless encoding": (image(encoding="x" * 10**6), "x' is not supported"),
    "unknown encoding": (image(encoding="rgb9"), "its encoding 'rgb9' is not supported"),
    "depth image": (image(encoding="16UC1"), "'16UC1' is that of a depth image"),
    "float depth image": (image(encoding="32FC1"), "is that of a depth image"),
    "encoding wider than data": (image(encoding="rgba8"), "step is 192 bytes, but 64 pixels of"),
    "16 bits in 8-bit data": (image(encoding="rgb16"), "step is 192 bytes"),
    "odd width of yuv": (image(encoding="yuv422", width=63), "no odd sizes, but it is 63 x 48"),
    "odd height of nv12": (image(encoding="nv12", height=47), "no odd sizes, but it is 64 x 47"),
    "compressed: nothing": (compressed_message(1, b""), "it is empty: compressed data of 0 bytes"),
    "compressed: garbage": (compressed_message(1, b"\0" * 500), "its 500 bytes are damaged"),
    "compressed: text": (compressed_message(1, b"<html>"), "damaged or in no known image format"),
    "compressed: JPEG cut": (
        compressed_message(1, jpeg(smooth())[:900]),
        "cut short: 900 bytes",
    ),
    "compressed: PNG cut": (compressed_message(1, png(smooth())[:-30], "png"), "bytes are damaged"),
    "compressed: JPEG header only": (
        compressed_message(1, jpeg(smooth())[:30] + b"\xff\xd9"),
        "damaged or in no known image format",
    ),
    "compressed: a PNG of a gigapixel": (
        compressed_message(
            1,
            png(np.zeros((10, 10), np.uint8))[:16]
            + b"\0\0\x7d\0" * 2
            + png(np.zeros((10, 10), np.uint8))[24:],
            "png",
        ),
        "it has 32000 x 32000 pixels, which is 1024000000; the limit is",
    ),
    "compressed: a format without a known header": (
        compressed_message(1, b"GIF89a" + b"\xff" * 40, "gif"),
        "its 46 bytes are damaged or in no known image format",
    ),
    "compressed: depth": (
        compressed_message(1, png(smooth()), "16UC1; compressedDepth png"),
        "compressed depth image",
    ),
}
