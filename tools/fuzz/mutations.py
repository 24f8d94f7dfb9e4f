"""Damages bytes, text, zip archives and PNG pictures, by a given source of randomness."""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from random import Random

NUMBERS = (0, 1, 2, 7, 255, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**32 - 1, 2**40, 2**63, 2**64 - 1)
WORDS = ("", "-1", "1e999", "nan", "null", "[]", "{}", "true", "../pwned", "[" * 5000, "9" * 5000)


def damage(data: bytes, random: Random) -> bytes:
    """Change a few places of `data`, lengthen it or cut it."""
    content = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        at = random.randrange(len(content) + 1)
        size = min(random.choice((1, 1, 2, 4, 16, 256)), len(content) - at)
        kind = random.randrange(7)
        if kind == 0 and size:
            content[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            content[at : at + size] = random.randbytes(size)
        elif kind == 2:
            content[at : at + size] = bytes([random.choice((0, 255))]) * size
        elif kind == 3:  # a size, an offset or a count
            form = random.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
            number = random.choice((*NUMBERS, len(content)))
            packed = struct.pack(form, number % 256 ** struct.calcsize(form))
            content[at : at + len(packed)] = packed
        elif kind == 4:
            del content[at : at + size]
        elif kind == 5:
            content[at:at] = content[at : at + size] or random.randbytes(4)
        elif random.random() < 0.3:
            del content[at:]
    return bytes(content)


def damage_text(data: bytes, random: Random) -> bytes:
    """Put other values in the place of numbers and words of a text, which may lie among bytes."""
    for _ in range(random.choice((1, 1, 2, 4))):
        found = list(re.finditer(rb"-?\d+|[A-Za-z_]{3,}", data)) or [re.search(b"", data)]
        place, value = random.choice(found), random.choice((*map(str, NUMBERS), *WORDS)).encode()
        if random.random() < 0.3:
            value = random.choice(found)[0]
        data = data[: place.start()] + value + data[place.end() :]
    return data


def damage_any(data: bytes, random: Random) -> bytes:
    """Damage bytes, text, or what a container holds; now and then leave `data` as it is."""
    kind = random.random()
    if kind < 0.05:
        return data
    if kind < 0.45 and data.startswith(b"PK\3\4"):
        return damage_zip(data, random)
    data = (damage_text if kind < 0.65 else damage)(data, random)
    return repair_png(data) if data.startswith(b"\x89PNG") and random.random() < 0.7 else data


def damage_zip(data: bytes, random: Random) -> bytes:
    """Damage, rename or drop a member of an archive, and keep the archive whole."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(result, "w") as new:
        names = archive.namelist()
        chosen, kind = random.choice(names), random.randrange(10)
        for name in names:
            content = archive.read(name)
            if name == chosen and kind > 1:
                content = (damage if kind < 6 else damage_text)(content, random)
            elif name == chosen:
                name = random.choice((*names, f"../{name}", "pwned", name * 50))
            new.writestr(zipfile.ZipInfo(name), content)  # whose date is fixed
    return result.getvalue()


def repair_png(data: bytes) -> bytes:
    """Make the checksums right, so that decoders read on."""
    content, at = bytearray(data), 8
    while at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4], "big")
        if end + 4 > len(content):
            break
        struct.pack_into(">I", content, end, zlib.crc32(content[at + 4 : end]))
        at = end + 4
    return bytes(content)
