"""Writes messages into a bag in a thread of its own, so that nothing waits for the disk."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.writer import BagWriter

CHECKPOINT_S = 1.0


class BagRecording:
    """A bag being written, behind a bounded queue.

    Every second, what was written is made safe against a kill (see `BagWriter.checkpoint`).

    Attributes:
        dropped: messages that did not fit into the queue, by topic.
        failure: why the recording ended by itself, such as a full disk, or None.
    """

    def __init__(
        self, open_writer: Callable[[], BagWriter], max_queue_bytes: int = 256 * 2**20
    ) -> None:
        """Create the bag and start the thread.

        Args:
            open_writer: creates the bag, in the thread, since SQLite is bound to one.
            max_queue_bytes: messages that would make the queue longer are dropped and counted.

        Raises:
            BagError: the bag cannot be created.
        """
        self.dropped: Counter[str] = Counter()
        self.failure: BagError | None = None
        self._writer: BagWriter | None = None
        self._max_bytes = max_queue_bytes
        self._bytes = 0
        # topic, then (log time, data) of a message or (type, QoS) of the topic itself
        self._queue: deque[tuple[str, Any, Any]] = deque()
        self._closing = False
        self._changed = threading.Condition()
        opened = threading.Event()
        self._thread = threading.Thread(
            target=self._work, args=(open_writer, opened), name="bag writer", daemon=True
        )
        self._thread.start()
        opened.wait()
        if self._writer is None:
            self.close()

    @property
    def counts(self) -> dict[str, int]:
        """Messages written so far by topic."""
        return dict(self._writer.counts) if self._writer else {}

    def add_topic(self, name: str, msgtype: str, qos: Sequence[Any] = ()) -> None:
        """Announce a topic ("package/msg/Name"; QoS of its publishers as rosbags has it)."""
        with self._changed:
            self._queue.append((name, msgtype, tuple(qos)))
            self._changed.notify()

    def put(self, topic: str, log_time: int, data: bytes | bytearray) -> bool:
        """Queue a message in CDR; False if it is dropped: the disk is too slow or has failed."""
        with self._changed:
            if self.failure or self._closing or self._bytes + len(data) > self._max_bytes:
                self.dropped[topic] += 1
                return False
            self._bytes += len(data)
            self._queue.append((topic, log_time, data))
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
        if self.failure:
            raise self.failure

    def _work(self, open_writer: Callable[[], BagWriter], opened: threading.Event) -> None:
        try:
            try:
                self._writer = open_writer()
            finally:
                opened.set()
            self._write_queue(self._writer)
            self._writer.close()
        except Exception as error:  # whatever it is, `close` must raise it
            told = error if isinstance(error, BagError) else BagError(f"recording failed: {error}")
            with self._changed:
                self.failure = told
                self._queue.clear()
            with suppress(Exception):  # save what still can be
                if self._writer is not None:
                    self._writer.close()

    def _write_queue(self, writer: BagWriter) -> None:
        safe_until = time.monotonic()
        while True:
            with self._changed:
                if not self._queue and not self._closing:
                    self._changed.wait(CHECKPOINT_S)
                batch, closing = list(self._queue), self._closing
                self._queue.clear()
            for topic, first, second in batch:
                if isinstance(first, str):
                    writer.add_topic(topic, first, second)
                    continue
                writer.write_raw(topic, second, first)
                with self._changed:
                    self._bytes -= len(second)
            if closing:
                return
            if time.monotonic() - safe_until >= CHECKPOINT_S:
                writer.checkpoint()
                safe_until = time.monotonic()
