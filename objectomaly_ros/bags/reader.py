"""Opens rosbag2 recordings, MCAP and SQLite, folder or single file, also damaged ones."""

from __future__ import annotations

import difflib
import heapq
import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.interfaces import MessageDefinitionFormat
from rosbags.rosbag2 import Reader

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.salvage import McapPrefix, salvage_sqlite
from objectomaly_ros.bags.typestore import make_typestore, store_from_definition

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
STORAGE_SUFFIXES = (".mcap", ".db3")
# A damaged file makes rosbags raise whatever its bytes lead to: from its own errors over
# struct.error to those of zstd, lz4 and SQLite.
_DAMAGE = Exception

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Topic:
    """A topic of a bag, its type as "package/msg/Name", its offered QoS as of rosbags."""

    name: str
    msgtype: str
    count: int
    qos: tuple[Any, ...] = ()


@dataclass(frozen=True)
class RawMessage:
    """One recorded message: topic, type, log time in nanoseconds and its CDR bytes."""

    topic: str
    msgtype: str
    log_time: int
    data: bytes


class Bag:
    """An open bag. Use it as a context manager.

    `damage` tells what is wrong with a bag of which only a part could be read, None for a sound
    one. Reading never raises for damage in the middle: it ends there, sets `damage` and logs it.
    """

    def __init__(self, path: Path | str) -> None:
        """Open a bag.

        Args:
            path: a bag folder, with or without its metadata.yaml, or one .mcap or .db3 file.

        Raises:
            BagError: there is no bag, or nothing of it can be read.
        """
        self.path = Path(path)
        self.damage: str | None = None
        self._stack = ExitStack()
        self._stores: dict[str, Any] = {}
        try:
            self._readers = self._open()
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Bag:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; what a damaged file was copied to is removed."""
        self._stack.close()

    @property
    def topics(self) -> dict[str, Topic]:
        """The topics by name."""
        found: dict[str, Topic] = {}
        for reader in self._readers:
            for connection in reader.connections:
                before = found.get(connection.topic)
                found[connection.topic] = Topic(
                    connection.topic,
                    connection.msgtype,
                    connection.msgcount + (before.count if before else 0),
                    (*(before.qos if before else ()), *connection.ext.offered_qos_profiles),
                )
        return dict(sorted(found.items()))

    @property
    def duration(self) -> float:
        """Seconds between the first and the last message."""
        filled = [reader for reader in self._readers if reader.message_count]
        if not filled:
            return 0.0
        span = max(r.end_time for r in filled) - 1 - min(r.start_time for r in filled)
        return float(span) / 1e9

    def image_topic(self, topic: str | None = None) -> Topic:
        """Check the name of an image topic, or find the only one.

        Raises:
            BagError: no such topic, no image topic, or several to choose from.
        """
        images = [known for known in self.topics.values() if known.msgtype in IMAGE_TYPES]
        if topic is not None:
            chosen = self.topic(topic)
            if chosen.msgtype not in IMAGE_TYPES:
                raise BagError(
                    f"topic {topic} in {self.path} has type {chosen.msgtype}, which is no image; "
                    f"image topics: {_listed(images)}"
                )
            return chosen
        if not images:
            raise BagError(
                f"no image topic in {self.path}; its topics: {_listed(self.topics.values())}"
            )
        if len(images) > 1:
            raise BagError(f"several image topics in {self.path}, name one: {_listed(images)}")
        return images[0]

    def topic(self, name: str) -> Topic:
        """Look a topic up.

        Raises:
            BagError: it is not in the bag; the message lists what is.
        """
        topics = self.topics
        if name in topics:
            return topics[name]
        close = difflib.get_close_matches(name, topics, n=1, cutoff=0.6)
        hint = f" (did you mean {close[0]}?)" if close else ""
        images = [known for known in topics.values() if known.msgtype in IMAGE_TYPES]
        there = (
            f"image topics: {_listed(images)}" if images else f"topics: {_listed(topics.values())}"
        )
        raise BagError(f"topic {name} is not in {self.path}{hint}; {there}")

    def messages(self, topics: Iterable[str] | None = None) -> Iterator[RawMessage]:
        """Yield the messages in order of log time; of these topics only, where given.

        Raises:
            BagError: a topic is not in the bag.
        """
        wanted = None if topics is None else {self.topic(name).name for name in topics}
        parts = [self._read(reader, wanted) for reader in self._readers]
        yield from heapq.merge(*parts, key=lambda message: message.log_time)

    def decode(self, message: RawMessage) -> Any:
        """Turn CDR bytes into a message object with the definition in the bag, or the usual one.

        Raises:
            BagError: no definition of the type, or the bytes are no such message.
        """
        try:
            store = self._store(message.msgtype)
            return store.deserialize_cdr(message.data, message.msgtype)
        except Exception as error:
            raise BagError(
                f"a message of {message.topic} ({message.msgtype}) cannot be decoded: {error}"
            ) from error

    def _store(self, msgtype: str) -> Any:
        if msgtype not in self._stores:
            definitions = [
                connection.msgdef
                for reader in self._readers
                for connection in reader.connections
                if connection.msgtype == msgtype
                and connection.msgdef.format != MessageDefinitionFormat.NONE
            ]
            self._stores[msgtype] = (
                store_from_definition(definitions[0], msgtype) if definitions else make_typestore()
            )
        return self._stores[msgtype]

    def _read(self, reader: Reader, wanted: set[str] | None) -> Iterator[RawMessage]:
        connections = [c for c in reader.connections if wanted is None or c.topic in wanted]
        if not connections:
            return
        # Without an index the reader asks for strict time order, which recorders do not promise.
        scan = isinstance(reader.path, McapPrefix)
        source = reader.storage.messages_scan(connections) if scan else reader.messages(connections)
        good = 0
        try:
            for connection, log_time, data in source:
                good += 1
                yield RawMessage(connection.topic, connection.msgtype, log_time, bytes(data))
        except _DAMAGE as error:
            self._note_damage(f"{reader.path} is damaged after {good} messages ({error})")

    def _note_damage(self, what: str) -> None:
        self.damage = what
        logger.warning("%s; going on with what is readable", what)

    def _open(self) -> list[Reader]:
        if not self.path.exists():
            raise BagError(f"no bag at {self.path}: there is no such file or folder")
        if self.path.is_file():
            return [self._open_file(self.path)]
        if (self.path / "metadata.yaml").exists():
            try:
                return [self._enter(Reader(self.path))]
            except _DAMAGE as error:
                trouble = f"{self.path} cannot be opened by its metadata.yaml ({error})"
        else:
            trouble = f"{self.path} has no metadata.yaml (a recording that was not closed?)"
        files = sorted(f for f in self.path.iterdir() if f.suffix in STORAGE_SUFFIXES)
        if not files:
            names = sorted(f.name for f in self.path.iterdir())
            holds = (
                ", ".join(names[:5]) + (", ..." if len(names) > 5 else "") if names else "nothing"
            )
            raise BagError(f"{trouble} and no .mcap or .db3 file: it is no bag; it holds {holds}")
        self._note_damage(trouble)
        return [self._open_file(file) for file in files]

    def _open_file(self, path: Path) -> Reader:
        if path.suffix not in STORAGE_SUFFIXES:
            hint = (
                "; convert a ROS 1 bag first: rosbags-convert --src IN.bag --dst OUT"
                if path.suffix == ".bag"
                else ""
            )
            raise BagError(
                f"{path} is no bag that can be read: its name ends in {path.suffix!r}, "
                f"expected a bag folder, .mcap or .db3{hint}"
            )
        journal = [path.with_name(path.name + end) for end in ("-journal", "-wal")]
        trouble: str
        if any(side.exists() and side.stat().st_size for side in journal):
            trouble = "it was not closed"
        else:
            try:
                return self._enter(Reader(path))
            except _DAMAGE as error:
                trouble = str(error) or type(error).__name__
        try:
            if path.suffix == ".mcap":
                reader = self._enter(Reader(McapPrefix(path)))
            else:
                folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
                reader = self._enter(Reader(salvage_sqlite(path, folder)))
        except _DAMAGE as error:
            raise BagError(f"{path} cannot be read as a {path.suffix} bag: {error}") from error
        if not reader.connections:
            raise BagError(f"{path} is damaged and holds no readable message: {trouble}")
        self._note_damage(f"{path} is damaged ({trouble})")
        return reader

    def _enter(self, reader: Reader) -> Reader:
        reader.open()
        self._stack.callback(reader.close)
        return reader


def _listed(topics: Iterable[Topic]) -> str:
    return ", ".join(f"{t.name} [{t.msgtype}, {t.count}]" for t in topics) or "none"
