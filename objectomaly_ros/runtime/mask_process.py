"""The node's end of the mask generating process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from objectomaly_ros.runtime.keyframes import (
    Failure,
    KeyframeMasks,
    MaskGeneratorError,
    MaskGeneratorSpec,
)
from objectomaly_ros.types import Image, ScoreMap

RESTART_PAUSE_S = 5.0
"""A process that died is started again not sooner than this after the last start."""


class MaskProcess:
    """Generates masks in a process of its own, which is restarted if it dies.

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
        self._lock = threading.Lock()
        self._turn = threading.Lock()  # one question at a time
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Process id of the generator, None if it does not run."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start the process and load the generator.

        Raises:
            MaskGeneratorError: it does not load; the message is the loader's.
        """
        self._spawn()
        answer = self._ask(self._source)
        if isinstance(answer, Failure):
            self._end()
            raise MaskGeneratorError(answer.text)

    def generate(self, image: Image, score: ScoreMap) -> KeyframeMasks:
        """Generate the masks of a keyframe; this waits for them, as long as it takes.

        Raises:
            MaskGeneratorError: the generator failed, died, or was closed.
        """
        with self._turn:
            if self.pid is None:
                self._restart()
            answer = self._ask((image, score))
        if isinstance(answer, Failure):
            raise MaskGeneratorError(answer.text)
        if not isinstance(answer, KeyframeMasks):
            raise MaskGeneratorError(f"the mask process answered {type(answer).__name__}")
        return answer

    def close(self) -> None:
        """End the process at once; what it was generating is lost."""
        with self._lock:
            self._closed = True
        self._end()

    def _restart(self) -> None:
        since = self._clock() - self._started
        if since < RESTART_PAUSE_S:
            raise MaskGeneratorError(
                f"the mask process ended; it is started again in {RESTART_PAUSE_S - since:.0f} s"
            )
        self._end()
        self.start()

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        folders = os.pathsep.join(folder for folder in sys.path if folder)
        # The child inherits the signals that its starting thread blocks: so Ctrl-C in a terminal
        # reaches the node alone, which ends the child in good order.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with self._lock:
                if self._closed:
                    raise MaskGeneratorError("the mask process was closed")
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "objectomaly_ros.runtime.mask_server",
                     str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": folders},
                )  # fmt: skip
                self._connection = Connection(ours.detach())
                self._started = self._clock()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            ours.close()
            theirs.close()

    def _ask(self, question: object) -> object:
        connection = self._connection
        try:
            if connection is None:
                raise EOFError
            connection.send(question)
            return connection.recv()
        except (EOFError, OSError):
            raise MaskGeneratorError(self._obituary()) from None

    def _obituary(self) -> str:
        if self._closed:
            return "the mask process was closed"
        code = self._process.wait(timeout=5) if self._process is not None else None
        if code is not None and code < 0:
            return (
                f"the mask process was killed by signal {signal.Signals(-code).name}"
                " (out of memory?)"
            )
        return f"the mask process ended by itself with code {code}"

    def _end(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.kill()  # it holds nothing that needs an orderly end
            process.wait()
