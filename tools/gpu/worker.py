"""A process that runs tasks, so that none ends the run: by crashing, hanging or eating memory."""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from tools.gpu.rows import Budget, Measure, Row, Settings, Task

_TICK_S = 0.2


class TaskError(RuntimeError):
    """A task failed; the message says why."""


class Worker:
    """Runs one task after the other in a process, which is started again after a failure."""

    def __init__(self) -> None:
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    def run(
        self, module: str, task: Task, settings: Settings, seconds: float, limit: float
    ) -> Iterator[Row]:
        """Yield the rows of a task as they come.

        Args:
            module: that has `measure`.
            task: to run.
            settings: of the run.
            seconds: after which the task ends its measuring by itself.
            limit: seconds after which it is ended.

        Raises:
            TaskError: it failed, died or was ended.
        """
        pipe = self._pipe if self._pipe is not None else self._start()
        end = time.monotonic() + limit
        try:
            pipe.send((module, task, settings, seconds))
            while True:
                while not pipe.poll(_TICK_S):
                    if time.monotonic() > end:
                        self.close()
                        raise TaskError(f"ended after {limit:.0f} s, the most that it may take")
                answer = pipe.recv()
                if answer is None:
                    return
                if isinstance(answer, str):
                    self.close()  # a GPU may be unusable for its process after an error
                    raise TaskError(answer)
                yield answer
        except (EOFError, OSError):
            code = None
            if self._process is not None:
                self._process.join(5)
                code = self._process.exitcode
            self.close()
            raise TaskError(f"its process died (exit code {code}; -9: out of memory?)") from None

    def close(self) -> None:
        """End the process and all that it started."""
        process, self._process, self._pipe = self._process, None, None
        if process is None or process.pid is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()

    def _start(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs,))
        self._process.start()
        theirs.close()  # the pipe then ends with the process
        return self._pipe


def serve(pipe: Connection) -> None:
    """Run tasks until the pipe ends: sends rows, then None, or the text of an error."""
    os.setsid()  # so that its children end with it
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    warnings.simplefilter("ignore")
    while True:
        try:
            module, task, settings, seconds = pipe.recv()
        except EOFError:
            return
        try:
            measure: Measure = importlib.import_module(module).measure
            for row in measure(task, settings, Budget(seconds)):
                pipe.send(row)
            pipe.send(None)
        except Exception as error:
            pipe.send(_text(error))
        gc.collect()
        if "torch" in sys.modules:
            _forget(sys.modules["torch"], settings, task)


def _end_with_parent(parent: int) -> None:
    """End, with all children, when the run was killed: it would disturb the next one."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(0, signal.SIGKILL)


def _forget(torch: Any, settings: Settings, task: Task) -> None:
    """Free the GPU's memory, and what was compiled."""
    if settings.on_gpu:
        torch.cuda.empty_cache()
    if "compiled" in task.form or "graphs" in task.form:
        torch.compiler.reset()


def _text(error: Exception) -> str:
    first = (str(error).strip() or "no message").splitlines()[0]
    return f"{type(error).__name__}: {first[:300]}"
