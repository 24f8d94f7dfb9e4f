"""Writes messages into a bag from a thread of its own, so nobody waits for the disk."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.writer import BagWriter

CHECKPOINT_S = 1.0


@dataclass(frozen=True)
class _Topic:
    name: str
    msgtype: str
    qos: tuple[Any, ...]


@dataclass(frozen=True)
class _Message:
    topic: str
    log_time: int
    data: bytes


class BagRecording:
    """A bag being written, with a bounded queue before it.

    Once a second what was written is made safe against a kill (see `BagWriter.checkpoint`).
    """

    def __init__(
        self, open_writer: Callable[[], BagWriter], max_queue_bytes: int = 256 * 2**20
    ) -> None:
        """Create the bag and start the thread.

        Args:
            open_writer: creates the bag; called in the thread, which SQLite wants.
            max_queue_bytes: messages that would make the queue longer are dropped and counted.

        Raises:
            BagError: the bag cannot be created.
        """
        self.dropped: Counter[str] = Counter()
        self._open_writer = open_writer
        self._writer: BagWriter | None = None
        self._max_bytes = max_queue_bytes
        self._queue: deque[_Topic | _Message] = deque()
        self._bytes = 0
        self._closing = False
        self._failure: BagError | None = None
        self._changed = threading.Condition()
        opened = threading.Event()
        self._thread = threading.Thread(
            target=self._work, args=(opened,), name="bag writer", daemon=True
        )
        self._thread.start()
        opened.wait()
        if self._writer is None:
            self.close()

    @property
    def counts(self) -> dict[str, int]:
        """Messages written so far by topic."""
        return dict(self._writer.counts) if self._writer else {}

    @property
    def failure(self) -> BagError | None:
        """Why the recording ended by itself (a full disk), or None."""
        return self._failure

    def add_topic(self, name: str, msgtype: str, qos: Sequence[Any] = ()) -> None:
        """Announce a topic ("package/msg/Name"; QoS of its publishers as rosbags has it)."""
        with self._changed:
            self._queue.append(_Topic(name, msgtype, tuple(qos)))
            self._changed.notify()

    def put(self, topic: str, log_time: int, data: bytes) -> bool:
        """Queue one message in CDR; False if it was dropped: the disk is too slow or has failed."""
        with self._changed:
            if self._failure or self._closing or self._bytes + len(data) > self._max_bytes:
                self.dropped[topic] += 1
                return False
            self._bytes += len(data)
            self._queue.append(_Message(topic, log_time, data))
            self._changed.notify()
            return True

    def close(self) -> None:
        """Write what is queued, then index and metadata. Closing twice does no harm.

        Raises:
            BagError: the bag could not be written whole.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        if self._failure:
            raise self._failure

    def _work(self, opened: threading.Event) -> None:
        try:
            self._writer = self._open_writer()
        except BagError as error:
            self._failure = error
            return
        finally:
            opened.set()
        try:
            self._write_all(self._writer)
            self._writer.close()
        except Exception as error:  # whatever it is, `close` must tell it
            with self._changed:
                self._failure = BagError(f"the recording ended: {error}")
                self._queue.clear()
            with suppress(Exception):  # whatever can still be saved
                self._writer.close()

    def _write_all(self, writer: BagWriter) -> None:
        safe_until = time.monotonic()
        while True:
            with self._changed:
                if not self._queue and not self._closing:
                    self._changed.wait(CHECKPOINT_S)
                batch = list(self._queue)
                self._queue.clear()
                closing = self._closing
            for item in batch:
                if isinstance(item, _Topic):
                    writer.add_topic(item.name, item.msgtype, item.qos)
                    continue
                writer.write_raw(item.topic, item.data, item.log_time)
                with self._changed:
                    self._bytes -= len(item.data)
            if closing:
                return
            if time.monotonic() - safe_until >= CHECKPOINT_S:
                writer.checkpoint()
                safe_until = time.monotonic()
