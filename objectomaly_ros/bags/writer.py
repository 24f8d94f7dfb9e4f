"""Writes rosbag2 recordings that `ros2 bag`, RViz and Foxglove open."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.typestore import make_typestore, register_type
from objectomaly_ros.files.writing import is_full, making_folder

STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}


def offered_qos(*, reliable: bool = True, transient_local: bool = False, depth: int = 10) -> Qos:
    """Return the QoS a topic is recorded with, so that players offer the same."""
    endless = QosTime(9223372036, 854775807)
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=depth,
        reliability=QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT,
        durability=QosDurability.TRANSIENT_LOCAL if transient_local else QosDurability.VOLATILE,
        deadline=endless,
        lifespan=endless,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=endless,
        avoid_ros_namespace_conventions=False,
    )


class BagWriter:
    """A new bag: a folder with an MCAP or SQLite file and metadata.yaml; a context manager.

    The file holds the definition of every topic's type, nested types included.
    """

    def __init__(self, path: Path | str, *, storage: str = "mcap", whole: bool = False) -> None:
        """Create the bag.

        Args:
            path: the folder to make; it must not exist.
            storage: mcap or sqlite3.
            whole: write the bag under a temporary name, and give it its own when it is closed. If
                the `with` block raises, nothing stays; else what was written so far is a sound bag.

        Raises:
            BagError: the folder exists or cannot be made, or the storage is unknown.
        """
        self.path = Path(path)
        if storage not in STORAGES:
            raise BagError(f"unknown bag storage {storage!r}; use one of {', '.join(STORAGES)}")
        if self.path.exists():
            raise BagError(f"{self.path} exists already; remove it or choose another name")
        self.storage = storage
        self.store = make_typestore()
        self.counts: dict[str, int] = {}
        self._whole = whole
        self._connections: dict[str, Any] = {}
        self._stack = ExitStack()
        with self._errors():
            folder = self._stack.enter_context(making_folder(self.path)) if whole else self.path
            self._writer = Writer(
                folder, version=Writer.VERSION_LATEST, storage_plugin=STORAGES[storage]
            )
            self._writer.open()

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None or not self._whole:
            self.close()
            return
        with suppress(OSError, sqlite3.Error):  # the error that ended the block matters
            self._writer.abort()
        with suppress(OSError):
            self._stack.__exit__(kind, error, trace)

    def add_topic(self, topic: str, msgtype: str, qos: Sequence[Qos] = ()) -> None:
        """Announce a topic.

        Args:
            topic: its name.
            msgtype: "package/msg/Name".
            qos: the QoS of its publishers; reliable where not given.

        Raises:
            BagError: the topic is there already, or its type is not known on this machine.
        """
        if topic in self._connections:
            raise BagError(f"topic {topic} is in {self.path} already")
        register_type(self.store, msgtype)
        with self._errors():
            self._connections[topic] = self._writer.add_connection(
                topic,
                msgtype,
                typestore=self.store,
                offered_qos_profiles=list(qos) or [offered_qos()],
            )
        self.counts[topic] = 0

    def write(self, topic: str, message: Any, log_time: int) -> None:
        """Write a message object of `self.store`; the log time is in nanoseconds."""
        msgtype = self._connections[topic].msgtype
        self.write_raw(topic, self.store.serialize_cdr(message, msgtype), log_time)

    def write_raw(self, topic: str, data: bytes | memoryview, log_time: int) -> None:
        """Write the CDR bytes of a message; the log time is in nanoseconds.

        Raises:
            BagError: the bag cannot be written any further; the message says why.
        """
        with self._errors():
            self._writer.write(self._connections[topic], log_time, data)
        self.counts[topic] += 1

    def checkpoint(self) -> None:
        """Make sure that what was written so far survives if the process is killed.

        An MCAP file then lacks its index, an SQLite file nothing; the folder lacks metadata.yaml.
        `Bag` opens both as they are; for ROS tools run `ros2 bag reindex` (SQLite) or `mcap
        recover` (MCAP).

        Raises:
            BagError: as of `write_raw`.
        """
        storage = self._writer.storage
        if storage is None:
            return
        with self._errors():
            if self.storage == "sqlite3":
                storage.conn.commit()
                return
            if storage.chunk.msgs:  # an empty chunk would have an impossible time span
                storage.close_chunk()
            storage.bio.flush()

    def close(self) -> None:
        """Write index and metadata.yaml. Closing twice does no harm.

        Raises:
            BagError: as of `write_raw`; of a bag that is to be whole nothing stays then.
        """
        with self._errors(), self._stack, self._errors():
            if self._writer.storage is not None:
                self._writer.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn errors of the disk and of SQLite into a BagError that names the bag."""
        try:
            yield
        except (OSError, sqlite3.Error, WriterError) as error:
            words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            if str(self.path) not in words:
                if is_full(error) or "disk is full" in words:
                    files = [file for file in self._writer.path.rglob("*") if file.is_file()]
                    written = sum(file.stat().st_size for file in files)
                    words = f"no space left after {written} bytes; free some and repeat"
                words = f"{self.path} cannot be written: {words}"
            raise BagError(words) from error
