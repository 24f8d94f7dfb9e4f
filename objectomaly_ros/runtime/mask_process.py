"""The node's end of the mask generating process."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

from objectomaly_ros.runtime.environment import (
    child_command,
    child_environment,
    interrupts_blocked,
)
from objectomaly_ros.runtime.keyframes import (
    Failure,
    KeyframeMasks,
    MaskGeneratorError,
    MaskGeneratorSpec,
)
from objectomaly_ros.types import Image, ScoreMap

TIME_LIMIT_S = 300.0
"""The process is restarted if masks take longer. (SAM ViT-H on two CPU cores takes about 100 s.)"""

MEMORY_MARGIN = 1 << 30
"""The process is restarted if it holds more bytes than this plus twice those of its first masks."""

FAILURES_IN_A_ROW = 5
"""The process is restarted after so many failures of the generator."""

RESTART_PAUSE_S = 5.0
"""Between two starts of the process; it doubles with every start that brings no masks."""

LONGEST_PAUSE_S = 60.0

WARM_UP_S = 10.0
"""`wait` waits no longer for a generator's first masks: those of a large network on a CPU."""

_TICK_S = 0.2
_SERVER = "objectomaly_ros.runtime.mask_server"


class MaskProcess:
    """Generates masks in a process of its own.

    The process is restarted if it dies, hangs, leaks memory or keeps failing.

    All may be called from any thread. `close` does not wait for a `generate` in another thread,
    which then raises.
    """

    def __init__(
        self, source: MaskGeneratorSpec, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._started = 0.0
        self._starts = 0  # since the last masks
        self._failures = 0  # in a row
        self._first_bytes: int | None = None  # resident after the first masks
        self._warm = False
        self._lock = threading.Lock()
        self._turn = threading.Lock()  # one question at a time
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Process id of the generator, None if it does not run."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start the process. It loads the generator, and makes the masks of a first picture."""
        self._spawn()
        self._send(self._source, "it starts")

    def wait(self) -> None:
        """Wait until the generator is loaded and has made its first masks.

        Raises:
            MaskGeneratorError: it does not load; the message is the loader's.
        """
        answer = self._answer("loading the mask generator")
        if isinstance(answer, Failure):
            self._end()
            raise MaskGeneratorError(answer.text)
        if self._connection is not None and self._connection.poll(WARM_UP_S):
            self._warm_up()

    def _warm_up(self) -> None:
        """Take the answer on the first masks, good or bad."""
        self._answer("making the first masks")
        self._warm = True

    def generate(self, image: Image, score: ScoreMap) -> KeyframeMasks:
        """Generate the masks of a keyframe; this waits for them.

        Raises:
            MaskGeneratorError: the generator failed, died, took too much time or memory, or was
                closed.
        """
        with self._turn:
            if self.pid is None:
                self._restart()
            if not self._warm:
                self._warm_up()
            began = self._clock()
            self._send((image, score), "generating masks")
            answer = self._answer("generating masks", began)
            if not isinstance(answer, KeyframeMasks):
                self._failures += 1
                if self._failures % FAILURES_IN_A_ROW == 0:
                    self._end()
                raise MaskGeneratorError(
                    answer.text
                    if isinstance(answer, Failure)
                    else f"the mask process answered {type(answer).__name__}"
                )
            self._starts = self._failures = 0
            self._first_bytes = self._first_bytes or self._resident_bytes()
        return answer

    def close(self) -> None:
        """End the process at once; masks that it is generating are lost."""
        with self._lock:
            self._closed = True
        self._end()

    def _restart(self) -> None:
        pause_s = min(RESTART_PAUSE_S * 2 ** max(0, self._starts - 1), LONGEST_PAUSE_S)
        since = self._clock() - self._started
        if since < pause_s:
            raise MaskGeneratorError(
                f"the mask process ended; it is started again in {pause_s - since:.0f} s"
            )
        self._end()
        self.start()
        self.wait()

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        limit = struct.pack("ll", int(TIME_LIMIT_S) + 1, 0)
        for direction in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            ours.setsockopt(socket.SOL_SOCKET, direction, limit)
        with interrupts_blocked(), ours, theirs, self._lock:
            if self._closed:
                raise MaskGeneratorError("the mask process was closed")
            self._process = subprocess.Popen(
                [*child_command(_SERVER), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=child_environment(),
            )
            self._connection = Connection(ours.detach())
            self._started = self._clock()
            self._starts += 1
            self._first_bytes, self._warm = None, False

    def _send(self, question: object, task: str) -> None:
        with self._line(task) as connection:
            connection.send(question)

    def _answer(self, task: str, began: float | None = None) -> object:
        """Wait for an answer; the time limit counts from `began`, by default from now."""
        began = self._clock() if began is None else began
        with self._line(task) as connection:
            while not connection.poll(_TICK_S):
                self._watch(began, task)
            answer = connection.recv()
            self._watch(began, task)
            return answer

    @contextmanager
    def _line(self, task: str) -> Iterator[Connection]:
        """Give the connection; end the process if it does not respond, and say why it ended."""
        try:
            if self._connection is None:
                raise EOFError
            yield self._connection
        except BlockingIOError:
            self._give_up(f"the mask process does not respond while {task}")
        except (EOFError, OSError):
            reason = self._obituary()
            self._end()
            raise MaskGeneratorError(reason) from None

    def _watch(self, began: float, task: str) -> None:
        if self._clock() - began > TIME_LIMIT_S:
            self._give_up(f"{task} took more than {TIME_LIMIT_S:g} s")
        first, now = self._first_bytes, self._resident_bytes()
        if first is not None and now > 2 * first + MEMORY_MARGIN:
            self._give_up(
                f"the mask process grew from {first >> 20} MB at its first masks to {now >> 20} MB"
            )

    def _give_up(self, reason: str) -> NoReturn:
        self._end()
        raise MaskGeneratorError(f"{reason}: it was ended and is started again")

    def _resident_bytes(self) -> int:
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        except OSError:  # it ended, or there is no /proc
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def _obituary(self) -> str:
        process = self._process
        if self._closed or process is None:
            return "the mask process was closed"
        try:
            code = process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "the mask process closed its connection"
        if code < 0:
            name = signal.Signals(-code).name
            return f"the mask process was killed by signal {name} (out of memory?)"
        return f"the mask process ended by itself with code {code}"

    def _end(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.kill()  # it holds nothing that needs an orderly end
            process.wait()
