"""Reads ROS 1 bags with rosbags, and turns their messages into those of ROS 2."""

from __future__ import annotations

import bz2
import logging
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import lz4.frame  # type: ignore[import-untyped]
from rosbags.convert.converter import STATIC_MSGTYPE_RENAMES, is_same_wireformat, migrate_bytes
from rosbags.rosbag1 import Reader
from rosbags.rosbag2.metadata import dump_qos_v8

from objectomaly_ros.bags.storage import (
    FIRST_TIME,
    LAST_TIME,
    MAX_BYTES,
    RawMessage,
    Topic,
    inflate,
)
from objectomaly_ros.bags.typestore import make_typestore, store_from_definition
from objectomaly_ros.bags.writer import offered_qos
from objectomaly_ros.files.reading import printable, regular_file

_Converter = Callable[[bytes], memoryview]

logger = logging.getLogger(__name__)


class Ros1File:
    """An open ROS 1 bag.

    Attributes:
        topics: by connection id.
        left_out: always empty.
        damage: always None: a bag without its index, which is at its end, is refused.
        start, end: log times (ns) of the first and the last message; end < start if there is none.
    """

    def __init__(self, path: Path) -> None:
        """Read the index.

        Raises:
            OSError: `path` is no regular file, or cannot be read.
            ValueError: the index is missing or damaged.
        """
        self.path = regular_file(path)
        self.damage: str | None = None
        self.topics: dict[int, Topic] = {}
        self.left_out: dict[str, str] = {}
        self._reader = _Reader(path)
        try:
            self._reader.open()
        except OSError:
            raise
        except Exception as error:
            why = str(error) or "Its index is damaged."
            raise ValueError(
                f"{why} If it was not closed, or is cut, repair it with the tools of ROS 1: "
                f"rosbag reindex {path}"
            ) from error
        self.start, self.end = self._reader.start_time, self._reader.end_time - 1
        self._store = make_typestore()
        self._converters: dict[tuple[str, str], _Converter | None] = {}
        for connection in self._reader.connections:
            old = connection.msgtype
            latched = [offered_qos(transient_local=True)] if connection.ext.latching else []
            self.topics[connection.id] = Topic(
                connection.topic,
                STATIC_MSGTYPE_RENAMES.get(old, old),
                connection.msgcount,
                (dump_qos_v8(latched),),
            )

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def messages(
        self, topics: Collection[str], start: int = FIRST_TIME, end: int = LAST_TIME
    ) -> Iterator[RawMessage]:
        """Yield the messages of these topics from `start` to `end` (ns) in order of log time.

        Raises:
            Exception: the file is damaged.
        """
        wanted = [
            connection
            for connection in self._reader.connections
            if connection.id in self.topics and connection.topic in topics
        ]
        if not wanted:  # the reader would take it for all
            return
        for connection, log_time, data in self._reader.messages(wanted, start, end + 1):
            topic = self.topics[connection.id]
            cdr = self._convert(connection, topic.msgtype, data)
            if cdr is not None:
                yield RawMessage(topic.name, topic.msgtype, log_time, cdr)

    def _convert(self, connection: Any, new: str, data: bytes) -> bytes | None:
        """Return the CDR bytes of a message; None if its definition does not serve for that."""
        old, definition = connection.msgtype, connection.msgdef.data
        key = old, definition
        try:
            if key not in self._converters:
                self._converters[key] = self._make_converter(old, new, definition)
            convert = self._converters[key]
            return None if convert is None else bytes(convert(data))
        except Exception as error:  # whatever the definition leads to
            self._converters[key] = None
            text = f"{self.path}: messages of {connection.topic} are left out: {error}"
            logger.warning("%s", printable(text))
            return None

    def _make_converter(self, old: str, new: str, definition: str) -> _Converter:
        source, target = store_from_definition(definition, old), self._store
        if new not in target.fielddefs:
            known = target.fielddefs
            target.register({n: d for n, d in source.fielddefs.items() if n not in known})
        if is_same_wireformat(source, target, old, new):
            return partial(target.ros1_to_cdr, typename=new)
        cache: dict[str, object] = {}
        return lambda data: migrate_bytes(
            source, target, old, new, cache, data, src_is2=False, dst_is2=True
        )


class _Reader(Reader):  # type: ignore[misc]  # rosbags is not typed for us
    """The reader of rosbags, with limits for what a file claims."""

    _index_bytes = 0

    def read_chunk(self) -> Any:
        chunk = super().read_chunk()
        limited = _LIMITED.get(chunk.decompressor, chunk.decompressor)
        return chunk._replace(decompressor=limited)

    def read_index_data(self, pos: int, indexes: Any) -> None:
        assert self.bio is not None
        begin = self.bio.tell()
        super().read_index_data(pos, indexes)
        self._index_bytes += self.bio.tell() - begin
        if self._index_bytes > self.path.stat().st_size:
            raise ValueError("its index names a chunk more than once.")


def _bunzip(data: bytes) -> bytes:
    decompressor = bz2.BZ2Decompressor()
    result = decompressor.decompress(data, max_length=MAX_BYTES + 1)
    if len(result) > MAX_BYTES:
        raise ValueError(f"{len(data)} bytes of bz2 hold more than {MAX_BYTES} bytes")
    return result


_LIMITED = {bz2.decompress: _bunzip, lz4.frame.decompress: partial(inflate, compression="lz4")}
