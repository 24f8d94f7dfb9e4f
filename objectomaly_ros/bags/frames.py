"""Finds the frames of a folder, and their stamps."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from objectomaly_ros.bags.errors import BagError, list_names
from objectomaly_ros.files.reading import read_bytes

MAX_TABLE_BYTES = 64 * 2**20
FRAME_SUFFIXES = (".jpg", ".jpeg", ".png")
# Digits of an integer time stamp of our decades -> its unit in nanoseconds.
_UNITS = {10: 1_000_000_000, 13: 1_000_000, 16: 1_000, 19: 1}


def find_frames(folder: Path) -> list[Path]:
    """Return the JPEG and PNG files of a folder in natural order: frame2 before frame10.

    Raises:
        BagError: no such folder, or no frame in it.
    """
    if not folder.exists():
        raise BagError(f"no frames at {folder}: there is no such folder")
    if not folder.is_dir():
        raise BagError(f"{folder} is a file; give the folder that holds the frames")
    files = sorted(folder.iterdir())
    frames = [file for file in files if file.suffix.lower() in FRAME_SUFFIXES and file.is_file()]
    if not frames:
        raise BagError(f"no frame (.jpg, .jpeg or .png) in {folder}; it holds {list_names(files)}")
    return sorted(frames, key=natural_order)


def natural_order(path: Path) -> list[tuple[int, int, str]]:
    """Return a sort key of a file's name by which frame2 comes before frame10."""
    parts = re.split(r"(\d+)", path.name)  # every second one is a number
    return [(0, int(p), "") if index % 2 else (1, 0, p) for index, p in enumerate(parts)]


def stamps_from_rate(count: int, rate: float, start_ns: int) -> list[int]:
    """Return `count` stamps in nanoseconds, `rate` a second, from `start_ns` on.

    Raises:
        BagError: the rate is not between 1e-6 and 1e9.
    """
    if not 1e-6 <= rate <= 1e9:
        raise BagError(
            f"a rate of {rate} frames a second makes no sense; give one above 0, 1e-6 to 1e9"
        )
    return [start_ns + round(index * 1e9 / rate) for index in range(count)]


def stamps_from_names(frames: Sequence[Path]) -> list[int]:
    """Read the stamps from file names.

    These are seconds with a fraction (1600000000.25.png), seconds and nanoseconds
    (1600000000_250000000.png), or an integer of 10, 13, 16 or 19 digits: seconds, milli-, micro- or
    nanoseconds.

    Raises:
        BagError: a name is none of these, or the stamps do not grow.
    """
    return _growing(frames, [_stamp_of_name(frame) for frame in frames])


def _stamp_of_name(frame: Path) -> int:
    stem = frame.stem
    if match := re.fullmatch(r"(\d+)_(\d{9})", stem):
        return int(match[1]) * 1_000_000_000 + int(match[2])
    if re.fullmatch(r"\d+\.\d+", stem):
        return _nanoseconds(stem)
    if re.fullmatch(r"\d+", stem) and len(stem) in _UNITS:
        return int(stem) * _UNITS[len(stem)]
    raise BagError(
        f"the file name {frame.name} is no time stamp (expected SECONDS.FRACTION, "
        "SECONDS_NANOSECONDS or an integer of 10, 13, 16 or 19 digits); "
        "give a rate or a CSV file of stamps instead"
    )


def stamps_from_csv(frames: Sequence[Path], table: Path) -> list[int]:
    """Read the stamps from a CSV file: columns `file` and `stamp` (seconds) or `stamp_ns`.

    Raises:
        BagError: no such file or columns, a frame is not in it, or the stamps do not grow.
    """
    try:
        text = read_bytes(table, MAX_TABLE_BYTES).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
        columns, rows = reader.fieldnames or [], list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise BagError(f"the stamps in {table} cannot be read: {error}") from error
    unit = next((name for name in ("stamp_ns", "stamp") if name in columns), None)
    if "file" not in columns or unit is None:
        raise BagError(
            f"{table} needs the columns 'file' and 'stamp' (seconds) or 'stamp_ns', "
            f"it has {list(columns)}"
        )
    stamps: dict[str, int] = {}
    for number, row in enumerate(rows, start=2):
        pattern = r"\d{1,19}" if unit == "stamp_ns" else r"\d{1,10}(\.\d*)?"
        if not row["file"] or not re.fullmatch(pattern, (row[unit] or "").strip()):
            raise BagError(f"line {number} of {table}: {row[unit]!r} is no time stamp")
        stamp = int(row[unit]) if unit == "stamp_ns" else _nanoseconds(row[unit])
        stamps[Path(row["file"]).name] = stamp
    if missing := [frame.name for frame in frames if frame.name not in stamps]:
        raise BagError(f"{table} has no stamp for {len(missing)} frames, such as {missing[0]}")
    return _growing(frames, [stamps[frame.name] for frame in frames])


def _nanoseconds(seconds: str) -> int:
    return int(Decimal(seconds) * 1_000_000_000)  # a float would lose the last digits


def _growing(frames: Sequence[Path], stamps: list[int]) -> list[int]:
    for (before, early), (frame, stamp) in pairwise(zip(frames, stamps, strict=True)):
        if stamp <= early:
            raise BagError(
                f"the stamps do not grow: {frame.name} ({stamp} ns) comes after "
                f"{before.name} ({early} ns)"
            )
    return stamps
