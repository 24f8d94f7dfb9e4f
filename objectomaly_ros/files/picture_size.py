"""Width and height of encoded pictures, read from their headers before anything is decoded.

The headers are read as OpenCV's decoders read them, so that a picture cannot show one size here and
another one there.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

MAX_PIXELS = 50_000_000
_MAX_SCANNED = 20 * MAX_PIXELS  # pixels of a JPEG, each scan counted
_MAX_TEXTS = 10
_PNG = b"\x89PNG\r\n\x1a\n"
_SHORT, _LONG = 3, 4  # TIFF's types of integers


def check_pixels(width: int, height: int, limit: int = MAX_PIXELS) -> None:
    """Refuse a picture that would take too much memory.

    Raises:
        ValueError: it has more than `limit` pixels.
    """
    if width * height > limit:
        raise ValueError(
            f"it has {width} x {height} pixels, which is {width * height}; "
            f"the limit is {limit} (max_pixels)"
        )


def check_work(data: bytes, width: int, height: int) -> None:
    """Refuse a picture that decoders would work on for much longer than its size lets expect.

    A few bytes of a progressive JPEG are a scan of the whole picture; the pixels and texts of a PNG
    may be followed by zeros, a thousand times as many as bytes in the file.

    Raises:
        ValueError: it has more scans, compressed texts or data than pictures need.
    """
    if data.startswith(b"\xff\xd8\xff"):
        scans = data.count(b"\xff\xda")
        if scans * width * height > _MAX_SCANNED:
            raise ValueError(f"it has {scans} scans of {width} x {height} pixels")
    elif data.startswith(_PNG):
        texts, left = 0, 8 * width * height + 4 * height + 2**16  # at most 8 bytes a pixel
        inflater = zlib.decompressobj()
        for kind, at, length in _png_chunks(data):
            texts += kind in (b"zTXt", b"iTXt", b"iCCP")
            if texts > _MAX_TEXTS:
                raise ValueError(f"it has more than {_MAX_TEXTS} compressed texts")
            packed = data[at : at + length] if kind == b"IDAT" else b""
            while packed:
                try:
                    left -= len(inflater.decompress(packed, 2**20))
                except zlib.error:
                    return  # decoders end there, too
                if left < 0:
                    raise ValueError(f"it holds more than its {width} x {height} pixels")
                packed = inflater.unconsumed_tail


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) of a PNG, JPEG, WebP, BMP or TIFF; None if it is no such picture.

    A TIFF counts as large as its tiles, which may be larger than the picture.
    """
    try:
        if data.startswith(_PNG):
            size = _png_size(data)
        elif data.startswith(b"\xff\xd8\xff"):
            size = _jpeg_size(data)
        elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            size = _webp_size(data)
        elif data.startswith(b"BM"):
            old = struct.unpack_from("<I", data, 14)[0] == 12
            size = struct.unpack_from("<HH" if old else "<ii", data, 18)
        elif data.startswith((b"II*\0", b"MM\0*")):
            size = _tiff_size(data)
        else:
            return None
    except (struct.error, IndexError):  # it ends within its header
        return None
    width, height = size[0], abs(size[1])  # a BMP whose rows run downwards has a negative height
    return (width, height) if width > 0 and height > 0 else None


def _png_size(data: bytes) -> tuple[int, int]:
    if any(at + length + 4 > len(data) for _, at, length in _png_chunks(data)):
        return 0, 0  # OpenCV allocates the length that a chunk claims
    width, height = struct.unpack_from(">II", data, 16) if data[12:16] == b"IHDR" else (0, 0)
    return width, height


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and claimed length of the content of each chunk before the last one."""
    at = 8
    while at + 8 <= len(data) and (kind := data[at + 4 : at + 8]) != b"IEND":
        (length,) = struct.unpack_from(">I", data, at)
        yield kind, at + 8, length
        at += 12 + length


def _jpeg_size(data: bytes) -> tuple[int, int]:
    at = 2
    while (at := data.find(b"\xff", at)) >= 0:
        while data[at] == 0xFF:
            at += 1
        marker = data[at]
        at += 1
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 3)
            return width, height
        if marker in (0xD9, 0xDA):  # the picture's data, or its end
            break
        if marker > 0x01 and not 0xD0 <= marker <= 0xD7:
            at += struct.unpack_from(">H", data, at)[0]
    return 0, 0


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        return (
            int.from_bytes(data[24:27], "little") + 1,
            int.from_bytes(data[27:30], "little") + 1,
        )
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26) if kind == b"VP8 " else (0, 0)
    return width & 0x3FFF, height & 0x3FFF


def _tiff_size(data: bytes) -> tuple[int, int]:
    order = "<" if data.startswith(b"II") else ">"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    size = [0, 0]
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, values = struct.unpack_from(f"{order}HHI", data, at)
        if tag not in (256, 257, 322, 323):  # width and height, of the picture and of its tiles
            continue
        if kind not in (_SHORT, _LONG) or values != 1:
            return 0, 0
        (value,) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), data, at + 8)
        # Decoders differ in which one they take of a tag given twice.
        size[tag % 2] = max(size[tag % 2], value)
    return size[0], size[1]
