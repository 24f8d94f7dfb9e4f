"""Writes rosbag2 recordings that `ros2 bag`, RViz and Foxglove open."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from rosbags import interfaces
from rosbags.rosbag2 import (
    CompressionFormat,
    CompressionMode,
    StoragePlugin,
    Writer,
    WriterError,
)

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.typestore import make_typestore, register_type
from objectomaly_ros.files.writing import bytes_at, is_full, making_folder

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}


def offered_qos(
    *, reliable: bool = True, transient_local: bool = False, depth: int = 10
) -> interfaces.Qos:
    """Return the QoS that a topic is recorded with, and that players offer."""
    endless = interfaces.QosTime(9223372036, 854775807)
    reliability, durability = interfaces.QosReliability, interfaces.QosDurability
    return interfaces.Qos(
        history=interfaces.QosHistory.KEEP_LAST,
        depth=depth,
        reliability=reliability.RELIABLE if reliable else reliability.BEST_EFFORT,
        durability=durability.TRANSIENT_LOCAL if transient_local else durability.VOLATILE,
        deadline=endless,
        lifespan=endless,
        liveliness=interfaces.QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=endless,
        avoid_ros_namespace_conventions=False,
    )


class BagWriter:
    """A new bag: a folder with an MCAP or SQLite file and metadata.yaml; a context manager.

    The file holds the complete definition of every type.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        storage: str = "mcap",
        whole: bool = False,
        compress: bool = False,
    ) -> None:
        """Create the bag.

        Args:
            path: the folder to make; it must not exist.
            storage: mcap or sqlite3.
            compress: whether the chunks of an MCAP file are compressed with zstd.
            whole: the bag appears when it is closed, and not at all if the `with` block raises.
                Otherwise what was written before an error is a sound bag.

        Raises:
            BagError: the folder exists or cannot be made, or the storage is unknown or cannot be
                compressed.
        """
        self.path = Path(path)
        if storage not in STORAGES:
            raise BagError(f"unknown bag storage {storage!r}; use one of {', '.join(STORAGES)}")
        if compress and storage != "mcap":
            raise BagError(f"{storage} bags cannot be compressed while they are written; use mcap")
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
            if compress:
                self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
            self._writer.open()
            if compress:  # level 1: nearly as small as the default, in 3/4 of its time
                self._writer.storage.compressor = partial(zstd.compress, level=1)

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        if kind is None or not self._whole:
            self.close()
            return
        with suppress(OSError, sqlite3.Error):  # the error that ended the block matters
            self._writer.abort()
        with suppress(OSError):
            self._stack.__exit__(kind, *error)

    def add_topic(self, topic: str, msgtype: str, qos: Sequence[interfaces.Qos] = ()) -> None:
        """Announce a topic.

        Args:
            topic: its name.
            msgtype: "package/msg/Name".
            qos: of its publishers; reliable by default.

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
        """Write a message object of `self.store`; log time in nanoseconds."""
        msgtype = self._connections[topic].msgtype
        self.write_raw(topic, self.store.serialize_cdr(message, msgtype), log_time)

    def write_raw(self, topic: str, data: bytes | bytearray | memoryview, log_time: int) -> None:
        """Write the CDR bytes of a message; log time in nanoseconds.

        Raises:
            BagError: the bag cannot be written any further; the message says why.
        """
        with self._errors():
            self._writer.write(self._connections[topic], log_time, data)
        self.counts[topic] += 1

    def checkpoint(self) -> None:
        """Make what was written so far safe against a kill of the process.

        A killed bag lacks metadata.yaml, and an MCAP file its index. `Bag` opens it as it is; for
        ROS tools run `ros2 bag reindex` (SQLite) or `mcap recover` (MCAP).

        Raises:
            BagError: as of `write_raw`.
        """
        storage = self._writer.storage
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
            BagError: as of `write_raw`.
        """
        with self._errors(), self._stack, self._errors():
            if self._writer.storage is not None:
                self._writer.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn errors of disk and SQLite into a BagError that names the bag."""
        try:
            yield
        except (OSError, sqlite3.Error, WriterError) as error:
            words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            if str(self.path) not in words:
                if is_full(error) or "disk is full" in words:
                    written = bytes_at(self._writer.path)
                    words = f"no space left after {written} bytes; free some and repeat"
                words = f"{self.path} cannot be written: {words}"
            raise BagError(words) from error
