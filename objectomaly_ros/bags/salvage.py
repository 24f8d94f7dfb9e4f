"""Reads what is left of damaged bag files, and never writes to them.

A recorder that was killed, a full disk or a broken copy leave an MCAP file without its index, or an
SQLite file whose last transaction is open or whose last pages are gone.
"""

from __future__ import annotations

import io
import shutil
import sqlite3
import struct
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, BinaryIO

from rosbags.rosbag2.storage_mcap import decompress

MCAP_MAGIC = b"\x89MCAP0\r\n"
_CHUNK_OPCODE, _DATA_END_OPCODE = 0x06, 0x0F
_GIVE_UP_AFTER = 10_000  # unreadable rows one after the other
_DATA_END = struct.pack("<BQI", 0x0F, 4, 0)  # no checksum of the data section
_FOOTER = struct.pack("<BQQQI", 0x02, 20, 0, 0, 0)  # no summary section, so readers scan


class McapPrefix:
    """The good beginning of a damaged MCAP file, shown as a complete file without an index.

    It offers what the readers of rosbags use of a pathlib.Path.
    """

    suffix = ".mcap"

    def __init__(self, path: Path) -> None:
        """Find the last complete record of the file.

        Args:
            path: the damaged file.

        Raises:
            ValueError: it does not even begin like an MCAP file.
        """
        self.path = path
        self.size = path.stat().st_size
        self.good = _good_bytes(path, self.size)

    def exists(self) -> bool:
        """Like pathlib.Path.exists."""
        return True

    def is_dir(self) -> bool:
        """Like pathlib.Path.is_dir."""
        return False

    def open(self, mode: str = "rb") -> BinaryIO:
        """Open for reading; the missing end is supplied."""
        if mode != "rb":
            raise ValueError("a damaged file is only read")
        return io.BufferedReader(_WithTail(self.path, self.good, _DATA_END + _FOOTER + MCAP_MAGIC))

    def __str__(self) -> str:
        return str(self.path)


def _good_bytes(path: Path, size: int) -> int:
    """Count the bytes up to the end of the last sound record of the data section."""
    with path.open("rb") as file:
        if file.read(len(MCAP_MAGIC)) != MCAP_MAGIC:
            raise ValueError("it does not begin with the MCAP magic bytes")
        good = file.tell()
        while len(head := file.read(9)) == 9:
            opcode, length = struct.unpack("<BQ", head)
            # DataEnd closes the data section; zeros are what a power failure leaves behind.
            if not 0 < opcode < _DATA_END_OPCODE or good + 9 + length > size:
                break
            if opcode == _CHUNK_OPCODE and not _is_sound(file.read(length)):
                break
            good += 9 + length
            file.seek(good)
    return good


def _is_sound(chunk: bytes) -> bool:
    """Tell whether the content of a chunk record unpacks into whole records."""
    try:
        _, _, size, crc, name_size = struct.unpack_from("<QQQII", chunk)
        name = chunk[32 : 32 + name_size].decode()
        records = decompress(chunk[40 + name_size :], name, size, crc)
    except Exception:  # rosbags, struct, zstd and lz4 have each their own
        return False
    at = 0
    while at + 9 <= len(records):
        opcode, length = struct.unpack_from("<BQ", records, at)
        if not opcode:
            return False
        at += 9 + length
    return at == len(records)


class _WithTail(io.RawIOBase):
    """The first `good` bytes of a file, then `tail`, as one read-only stream."""

    def __init__(self, path: Path, good: int, tail: bytes) -> None:
        self.file = path.open("rb")
        self.good, self.tail, self.at = good, tail, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.good + len(self.tail)}
        self.at = start[whence] + offset
        return self.at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self.at < self.good:
            self.file.seek(self.at)
            part = self.file.read(min(len(buffer), self.good - self.at))
        else:
            begin = self.at - self.good
            part = self.tail[begin : begin + len(buffer)]
        buffer[: len(part)] = part
        self.at += len(part)
        return len(part)

    def close(self) -> None:
        self.file.close()
        super().close()


def salvage_sqlite(path: Path, folder: Path) -> Path:
    """Copy the readable messages of a damaged SQLite bag file.

    A copy with its journal lets SQLite undo the transaction that was open; where pages are gone,
    the messages that do not need them are taken one by one.

    Args:
        path: the damaged file.
        folder: where the copy goes; it needs as much room as the file.

    Returns:
        The path of a sound file with the same tables.

    Raises:
        sqlite3.DatabaseError: not even its tables can be read.
    """
    broken, sound = folder / "broken.db3", folder / path.name
    for suffix in ("", "-journal", "-wal"):
        if (part := path.with_name(path.name + suffix)).exists():
            shutil.copyfile(part, broken.with_name(broken.name + suffix))
    with closing(sqlite3.connect(broken)) as old, closing(sqlite3.connect(sound)) as new:
        # Without this SQLite refuses a file that is shorter than its header says.
        old.execute("PRAGMA writable_schema = ON")
        tables = dict(
            old.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        )
        if not {"topics", "messages"} <= tables.keys():
            raise sqlite3.DatabaseError("it has no tables 'topics' and 'messages'")
        for table in tables.keys() - {"messages"}:
            new.execute(tables[table])
            _insert(new, table, old.execute(f'SELECT * FROM "{table}"'))
        new.execute(tables["messages"])
        _copy_messages(old, new)
        new.commit()
    return sound


def _copy_messages(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
    row, failures = 0, 0
    while failures < _GIVE_UP_AFTER:
        row += 1
        failures += 1
        # A missing page of the tree hides the rows below it, not those beside.
        with suppress(sqlite3.DatabaseError):
            found = old.execute("SELECT * FROM messages WHERE rowid = ?", (row,)).fetchall()
            if found:
                _insert(new, "messages", found)
                failures = 0


def _insert(new: sqlite3.Connection, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    for row in rows:
        new.execute(f'INSERT INTO "{table}" VALUES ({",".join("?" * len(row))})', row)
