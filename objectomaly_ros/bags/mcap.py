"""Reads ROS 2 messages of MCAP files: by the index, or from the start if that is damaged."""

from __future__ import annotations

import struct
import zlib
from array import array
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from objectomaly_ros.bags import storage
from objectomaly_ros.bags.storage import MAX_BYTES, RawMessage, Topic
from objectomaly_ros.files.reading import regular_file

MAX_OPEN_BYTES = 2 * MAX_BYTES  # of chunks that overlap in time
_MAX_DEFINITION_BYTES = 16 * 2**20  # of all schemas and channels together
_REGION_BYTES = 4 * 2**20
_MAGIC = b"\x89MCAP0\r\n"
_FOOTER_START = struct.pack("<BQ", 0x02, 20)
_HEADER, _FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
_CHUNK_INDEX, _STATISTICS, _SUMMARY_OFFSET, _DATA_END, _PRIVATE = 0x08, 0x0B, 0x0E, 0x0F, 0x80


_FOREIGN = {
    "json": "JSON",
    "protobuf": "protobuf",
    "ros1": "ROS 1 messages",
    "flatbuffer": "flatbuffers",
    "cdr": "CDR without a schema",
}


@dataclass(frozen=True)
class _Chunk:
    """A chunk, or a region of records outside chunks; `start` and `end` are log times in ns."""

    at: int
    length: int
    packed: bool
    start: int = 2**64
    end: int = -1
    channels: frozenset[int] = frozenset()  # empty if not known


class McapFile:
    """An open MCAP file.

    Attributes:
        topics: by channel id.
        left_out: topics whose messages are not of ROS 2, and what they are.
        damage: what is wrong with a file of which only the beginning can be read, else None.
        start, end: log times (ns) of the first and the last message; end < start if there is none.
    """

    def __init__(self, path: Path) -> None:
        """Read the index, or else find all chunks.

        Raises:
            OSError: `path` is no regular file, or cannot be read.
            ValueError: it is no MCAP file, or none of ROS 2.
        """
        self.path = path
        self.damage: str | None = None
        self._open_bytes = 0
        self._file = regular_file(path).open("rb")
        try:
            self._size = path.stat().st_size
            self._check_beginning()
            self._clear()
            try:
                indexed = self._read_index()
            except (ValueError, struct.error) as error:
                self.damage, indexed = str(error), False
            if not indexed:
                self._clear()
                self._scan()
            if self._profile not in ("", "ros2") and not self.topics and not self.left_out:
                raise ValueError(f"its profile is {self._profile!r}, not 'ros2'")
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def messages(
        self, topics: Collection[str], start: int = storage.FIRST_TIME, end: int = storage.LAST_TIME
    ) -> Iterator[RawMessage]:
        """Yield the messages of these topics from `start` to `end` (ns) in order of log time.

        Raises:
            Exception: the file is damaged.
        """
        wanted = {key: topic for key, topic in self.topics.items() if topic.name in topics}
        return storage.merge_by_time(
            (max(chunk.start, start), self._messages_of(chunk, wanted, start, end))
            for chunk in self._chunks
            if wanted
            and not (chunk.channels and chunk.channels.isdisjoint(wanted))
            and chunk.start <= end
            and chunk.end >= start
        )

    def _messages_of(
        self, chunk: _Chunk, wanted: dict[int, Topic], start: int, end: int
    ) -> Iterator[RawMessage]:
        records = self._load(chunk)
        self._open_bytes += len(records)
        try:
            times, places = array("Q"), array("Q")
            for opcode, at, length in _walk(records):
                if opcode == _MESSAGE:
                    channel, log_time = _message_head(records[at : at + min(length, 22)])
                    if channel in wanted and start <= log_time <= end:
                        times.append(log_time)
                        places.extend((channel, at + 22, at + length))
            for index in np.argsort(np.array(times, np.uint64), kind="stable"):
                channel, begin, end = places[3 * index : 3 * index + 3]
                name, msgtype = wanted[channel].name, wanted[channel].msgtype
                yield RawMessage(name, msgtype, times[index], records[begin:end])
        finally:
            self._open_bytes -= len(records)

    def _load(self, chunk: _Chunk) -> bytes:
        """Return the checked records of a chunk."""
        if not chunk.packed:
            return self._content(chunk.at, chunk.length)
        if self._content(chunk.at - 9, 9) != struct.pack("<BQ", _CHUNK, chunk.length):
            raise ValueError(f"there is no chunk of {chunk.length} bytes at byte {chunk.at}")
        content = self._content(chunk.at, chunk.length)
        try:
            size, crc = struct.unpack_from("<QI", content, 16)
            compression, at = _string(content, 28)
            (packed,) = struct.unpack_from("<Q", content, at)
        except struct.error as error:
            raise ValueError(f"the chunk at byte {chunk.at} is cut short") from error
        if size > min(MAX_BYTES, MAX_OPEN_BYTES - self._open_bytes):
            raise ValueError(
                f"the chunk at byte {chunk.at} claims {size} bytes; the limit is {MAX_BYTES}, and "
                f"{MAX_OPEN_BYTES} for chunks that overlap in time"
            )
        records = storage.inflate(content[at + 8 : at + 8 + packed], compression, size)
        if len(records) != size:
            raise ValueError(
                f"the chunk at byte {chunk.at} claims {size} bytes but holds {len(records)}"
            )
        if crc and zlib.crc32(records) != crc:
            raise ValueError(f"the checksum of the chunk at byte {chunk.at} is wrong")
        return records

    def _clear(self) -> None:
        self.topics: dict[int, Topic] = {}
        self.left_out: dict[str, str] = {}
        self.start, self.end = 2**64, -1
        self._schemas: dict[int, tuple[str, str]] = {}
        self._channels: set[int] = set()
        self._chunks: list[_Chunk] = []
        self._definition_bytes = 0

    def _check_beginning(self) -> None:
        if self._file.read(len(_MAGIC)) != _MAGIC:
            raise ValueError("it does not begin with the MCAP magic bytes")
        opcode, at, length = next(self._records(len(_MAGIC)), (0, 0, 0))
        if opcode != _HEADER:
            raise ValueError("its header is missing")
        # Some writers leave the profile empty. The channels tell of what kind the messages are.
        self._profile = _string(self._content(at, length), 0)[0]

    def _read_index(self) -> bool:
        """Read the summary section; False if it is missing or incomplete."""
        footer = self._content(max(self._size - 37, 0), 37)
        if not footer.startswith(_FOOTER_START) or not footer.endswith(_MAGIC):
            raise ValueError("it was not closed: its end is missing")
        (summary,) = struct.unpack_from("<Q", footer, 9)
        if not summary:
            return False
        chunks: dict[int, _Chunk] = {}
        counts: dict[int, int] | None = None
        for opcode, at, length in self._records(summary):
            if opcode in (_FOOTER, _SUMMARY_OFFSET):
                break
            if opcode in (_SCHEMA, _CHANNEL):
                self._define(opcode, self._content(at, length))
            elif opcode == _CHUNK_INDEX:
                chunk = _indexed_chunk(self._content(at, length))
                chunks[chunk.at] = chunk  # once, however often the index names it
            elif opcode == _STATISTICS:
                content = self._content(at, length)
                self.start, self.end, size = struct.unpack_from("<QQI", content, 26)
                counts = dict(struct.iter_unpack("<HQ", content[46 : 46 + size]))
        if counts is None or not self._schemas or (any(counts.values()) and not chunks):
            return False
        # Some writers count wrong, of times that go back or are 0. Then the chunks must tell.
        filled = [chunk for chunk in chunks.values() if chunk.end]
        span = min((c.start for c in filled), default=0), max((c.end for c in filled), default=0)
        if any(counts.values()) and span != (self.start, self.end):
            return False
        self._chunks = list(chunks.values())
        self._set_counts(counts)
        return True

    def _scan(self) -> None:
        """Find the chunks before the end or the first damage."""
        counts: Counter[int] = Counter()
        try:
            for opcode, at, length in self._records(len(_MAGIC)):
                if opcode in (_DATA_END, _FOOTER):
                    break
                if not opcode or _DATA_END < opcode < _PRIVATE:
                    raise ValueError(f"there is no record at byte {at - 9}")
                if opcode in (_SCHEMA, _CHANNEL):
                    self._define(opcode, self._content(at, length))
                elif opcode == _CHUNK:
                    self._add_chunk(_Chunk(at, length, True), counts)
                elif opcode == _MESSAGE:
                    channel, log_time = _message_head(self._content(at, min(length, 22)))
                    self._add_message(at - 9, length + 9, log_time)
                    counts[channel] += 1
            else:
                raise ValueError("it was not closed: its end is missing")
        except Exception as error:  # zstd and lz4 have errors of their own
            found = dict.fromkeys((self.damage, str(error)))  # of the index, and while scanning
            self.damage = "; ".join(filter(None, found))
        self.start = min((chunk.start for chunk in self._chunks), default=2**64)
        self.end = max((chunk.end for chunk in self._chunks), default=-1)
        self._set_counts(counts)

    def _add_chunk(self, chunk: _Chunk, counts: Counter[int]) -> None:
        records = self._load(chunk)
        found: Counter[int] = Counter()
        start, end = chunk.start, chunk.end
        for opcode, at, length in _walk(records):
            if opcode in (_SCHEMA, _CHANNEL):
                self._define(opcode, records[at : at + length])
            elif opcode == _MESSAGE:
                channel, log_time = _message_head(records[at : at + min(length, 22)])
                start, end = min(start, log_time), max(end, log_time)
                found[channel] += 1
        self._chunks.append(replace(chunk, start=start, end=end, channels=frozenset(found)))
        counts.update(found)

    def _add_message(self, at: int, length: int, log_time: int) -> None:
        """Add a message outside chunks to the region before it, or to a new one."""
        last = self._chunks[-1] if self._chunks else None
        start = end = log_time
        joins = last and not last.packed and last.at + last.length == at
        if last and joins and last.length + length <= _REGION_BYTES:
            self._chunks.pop()
            at, length = last.at, last.length + length
            start, end = min(last.start, log_time), max(last.end, log_time)
        self._chunks.append(_Chunk(at, length, False, start, end))

    def _define(self, opcode: int, content: bytes) -> None:
        """Take a schema or a channel record, unless its id is known."""
        (key,) = struct.unpack_from("<H", content)
        if key in (self._schemas if opcode == _SCHEMA else self._channels):
            return
        self._definition_bytes += len(content)
        if self._definition_bytes > _MAX_DEFINITION_BYTES:
            raise ValueError(f"its definitions take more than {_MAX_DEFINITION_BYTES} bytes")
        if opcode == _SCHEMA:
            name, at = _string(content, 2)
            if name.count("/") == 1:  # as ROS 1 has it, and some writers for ROS 2
                name = name.replace("/", "/msg/")
            encoding, at = _string(content, at)
            text, _ = _string(content, at)
            self._schemas[key] = (name, text if encoding == storage.MSG_FORM else "")
        else:
            self._channels.add(key)
            (schema,) = struct.unpack_from("<H", content, 2)
            msgtype, definition = self._schemas.get(schema, ("", ""))
            topic, at = _string(content, 4)
            encoding, at = _string(content, at)
            if encoding != "cdr" or not msgtype:
                self.left_out[topic] = _FOREIGN.get(encoding, f"{encoding[:40]!r} messages")
                return
            metadata, stop = {}, at + 4 + struct.unpack_from("<I", content, at)[0]
            at += 4
            while at < stop:
                name, at = _string(content, at)
                metadata[name], at = _string(content, at)
            profiles = (metadata.get("offered_qos_profiles", ""),)
            self.topics[key] = Topic(topic, msgtype, 0, profiles, definition)

    def _set_counts(self, counts: dict[int, int]) -> None:
        for key, topic in self.topics.items():
            self.topics[key] = replace(topic, count=counts.get(key, 0))

    def _records(self, at: int) -> Iterator[tuple[int, int, int]]:
        """Yield opcode, place and length of the content of every record from byte `at` on."""
        while at < self._size:
            opcode, length = struct.unpack("<BQ", self._content(at, 9))
            at += 9
            if at + length > self._size:
                raise ValueError(
                    f"a record at byte {at - 9} claims {length} bytes; "
                    f"{self._size - at} are left in the file"
                )
            yield opcode, at, length
            at += length

    def _content(self, at: int, length: int) -> bytes:
        if length > MAX_BYTES:
            raise ValueError(
                f"a record at byte {at} claims {length} bytes; the limit is {MAX_BYTES}"
            )
        self._file.seek(at)
        content = self._file.read(length)
        if len(content) < length:
            raise ValueError(f"it ends within a record, at byte {at + len(content)}")
        return content


def _indexed_chunk(content: bytes) -> _Chunk:
    """Return the chunk that an index record names."""
    start, end, at, length, size = struct.unpack_from("<QQQQI", content)
    if at < len(_MAGIC) or length < 9:
        raise ValueError(f"its index names a chunk of {length} bytes at byte {at}")
    channels = frozenset(key for key, _ in struct.iter_unpack("<HQ", content[36 : 36 + size]))
    return _Chunk(at + 9, length - 9, True, start, end, channels)


def _walk(records: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield opcode, place and length of the content of every record of a chunk."""
    at = 0
    while at < len(records):
        head = records[at : at + 9]
        opcode, length = struct.unpack("<BQ", head) if len(head) == 9 else (0, 0)
        at += 9
        if opcode in (0, _CHUNK) or at + length > len(records):
            raise ValueError(f"a chunk holds no whole record at its byte {at - 9}")
        yield opcode, at, length
        at += length


def _message_head(content: bytes) -> tuple[int, int]:
    """Return channel and log time of a message record."""
    if len(content) < 22:
        raise ValueError(f"a message record has {len(content)} bytes, fewer than its head")
    channel, _, log_time = struct.unpack_from("<HIQ", content)
    return channel, log_time


def _string(content: bytes, at: int) -> tuple[str, int]:
    """Return the string at byte `at`, and the byte after it."""
    size = int.from_bytes(content[at : at + 4], "little")
    at += 4
    if at + size > len(content):
        raise ValueError(f"a string claims {size} bytes and ends outside its record")
    return content[at : at + size].decode(), at + size
