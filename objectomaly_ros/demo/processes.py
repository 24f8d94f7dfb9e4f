"""Child processes that write logs and never outlive the demo."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1


class ChildError(RuntimeError):
    """A child process failed or ended too early; the message holds the end of its log."""


class Child:
    """A process in a group of its own that writes to a log file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str],
        niceness: int = 0,
    ) -> None:
        self.name = name
        self.log = log
        if niceness:
            command = ["nice", "-n", str(niceness), *command]
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=dict(env),
                start_new_session=True,  # Ctrl-C reaches the demo alone, which ends them in order
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )

    @property
    def status(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.poll()

    def check(self) -> None:
        """Raise ChildError if it has ended."""
        if self.status is not None:
            raise ChildError(
                f"{self.name} ended with status {self.status}; the end of {self.log}:\n"
                f"{self.log_tail()}"
            )

    def log_tail(self, lines: int = 25) -> str:
        """Return the last lines of the log."""
        text = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in text[-lines:]) or "    (empty)"

    def stop(self, patience_s: float = 20.0) -> int:
        """End it by SIGINT, then kill what is left of its group; return its exit status."""
        self.interrupt()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
        status = self._process.wait()
        self._signal(signal.SIGKILL)  # grandchildren that stayed
        return status

    def interrupt(self) -> None:
        """Ask it to end."""
        self._signal(signal.SIGINT)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


class Children:
    """All child processes; leaving the context ends them, all at the same time."""

    def __init__(self, logs: Path, env: Mapping[str, str]) -> None:
        self._logs = logs
        self._env = env
        self._children: list[Child] = []

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *error: object) -> None:
        for child in self._children:
            child.interrupt()
        for child in self._children:
            child.stop(patience_s=3.0)

    def start(self, name: str, module: str, *arguments: str, niceness: int = 0) -> Child:
        """Start `python -m module arguments`; a nice process leaves the processor to others."""
        command = [sys.executable, "-m", module, *arguments]
        child = Child(name, command, self._logs / f"{name}.log", self._env, niceness)
        self._children.append(child)
        return child

    def wait(self, seconds: float, *, running: Sequence[Child]) -> None:
        """Sleep; raise ChildError as soon as one of `running` ends."""
        end = time.monotonic() + seconds
        while True:
            for child in running:
                child.check()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(0.2, left))


def _end_with_parent() -> None:
    """Have Linux end this process if the demo is killed."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
