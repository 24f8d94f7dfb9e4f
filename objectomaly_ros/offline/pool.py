"""Worker processes on this machine, which do the tasks of a run."""

from __future__ import annotations

import heapq
import itertools
import os
import queue
import signal
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from objectomaly_ros.offline.job import Job
from objectomaly_ros.offline.tasks import Assembly, Place, Scan, Segment, Task
from objectomaly_ros.offline.worker_process import OUT_OF_MEMORY, Done, Failure, Progress
from objectomaly_ros.runtime.environment import (
    child_command,
    child_environment,
    interrupts_blocked,
)

ATTEMPTS = 3
"""A task at which so many workers have died is given up."""

ORDER: dict[type, int] = {Assembly: 0, Segment: 1, Scan: 2}
"""The more urgent tasks come first."""

_MODULE = "objectomaly_ros.offline.worker_process"


class WorkerError(RuntimeError):
    """No worker can go on, for a reason that concerns all recordings."""


class _DiedError(Exception):
    """A worker died while it loaded, with this exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Event(NamedTuple):
    """What has happened to a task: `frames` of it are done, it ended, or it failed.

    Attributes:
        task: the task.
        frames: that are done since the last event.
        copied: bytes of a remote recording that are copied since.
        value: its result, at its end.
        problem: why it failed.
        warning: what else to tell.
        ended: whether nothing more comes of it.
    """

    task: Task
    frames: int = 0
    copied: int = 0
    value: Any = None
    problem: str | None = None
    warning: str | None = None
    ended: bool = False


class Pool:
    """Processes that do tasks; a context manager.

    All compute on one thread each, so that the results do not depend on the number of cores. A
    worker that dies is replaced and its task repeated; if it was out of memory, one worker fewer
    goes on.

    Args:
        job: of the workers.
        workers: number of processes.
        segment_frames: see `make_plan`.
    """

    def __init__(self, job: Job, workers: int, segment_frames: int) -> None:
        self._job = job
        self._segment_frames = segment_frames
        self._identity = ""
        self._size = workers
        self._alive = 0
        self._tasks: list[tuple[int, int, Task]] = []
        self._numbers = itertools.count()
        self._open = 0  # tasks that have not ended
        self._attempts: Counter[Task] = Counter()
        self._dropped: set[Place] = set()
        self._events: queue.Queue[Event | WorkerError] = queue.Queue()
        self._change = threading.Condition()
        self._closed = False
        self._processes: set[subprocess.Popen[bytes]] = set()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def start(self) -> str:
        """Start the first worker; return the identity of its models.

        Raises:
            WorkerError: the models do not load.
        """
        try:
            process, connection, identity = self._spawn()
        except _DiedError as death:
            raise WorkerError(f"a worker {_obituary(death.code)} while it loaded") from None
        self._add_thread(process, connection)
        return identity

    def add(self, task: Task) -> None:
        """Have a task done, after those of other kinds that are more urgent."""
        with self._change:
            self._open += 1
            heapq.heappush(self._tasks, (ORDER[type(task)], next(self._numbers), task))
            if self._alive < min(self._size, self._open):
                self._add_thread()
            self._change.notify()

    def drop(self, place: Place) -> None:
        """Do no further task of a recording."""
        with self._change:
            self._dropped.add(place)

    def events(self) -> Iterator[Event]:
        """Yield what happens until no task is left; tasks may be added meanwhile.

        Raises:
            WorkerError: nothing can go on.
        """
        while self._open:
            event = self._events.get()
            if isinstance(event, WorkerError):
                raise event
            yield event
            if event.ended:
                with self._change:
                    self._open -= 1

    def close(self) -> None:
        """End all workers at once; what they have not finished is lost."""
        with self._change:
            self._closed = True
            self._change.notify_all()
            processes = list(self._processes)
            for process in processes:
                process.kill()
        for process in processes:
            process.wait()

    def _add_thread(self, *started: Any) -> None:
        self._alive += 1
        threading.Thread(target=self._attend, args=started, daemon=True).start()

    def _attend(
        self,
        process: subprocess.Popen[bytes] | None = None,
        connection: Connection | None = None,
    ) -> None:
        """Give tasks to one worker until the pool is closed."""
        while (task := self._next()) is not None:
            if task.place in self._dropped:
                self._events.put(Event(task, ended=True))
                continue
            try:
                if process is None or connection is None:
                    process, connection, _ = self._spawn()
                connection.send(task)
                self._follow(task, connection)
            except (_DiedError, EOFError, ConnectionError) as error:
                code = error.code if isinstance(error, _DiedError) else self._bury(process)
                process = connection = None
                if self._closed or not self._retry(task, code):
                    return
            except Exception as error:
                self._events.put(WorkerError(str(error)))
                return

    def _next(self) -> Task | None:
        with self._change:
            while not self._tasks and not self._closed:
                self._change.wait()
            return None if self._closed else heapq.heappop(self._tasks)[2]

    def _follow(self, task: Task, connection: Connection) -> None:
        while True:
            try:
                message = connection.recv()
            except OSError as error:  # it died within a message
                raise EOFError from error
            if isinstance(message, Progress):
                self._events.put(Event(task, message.frames, message.copied))
            elif isinstance(message, Failure):
                if message.fatal:
                    raise WorkerError(message.text)
                self._events.put(Event(task, problem=message.text, ended=True))
                return
            else:
                self._events.put(Event(task, value=message.value, ended=True))
                return

    def _retry(self, task: Task, code: int) -> bool:
        """Repeat a task whose worker died; return whether another one takes the worker's place."""
        memory = code in (OUT_OF_MEMORY, -signal.SIGKILL)
        how = _obituary(code)
        self._attempts[task] += 1
        with self._change:
            fewer = memory and self._alive > 1
            self._alive -= fewer
            self._size -= fewer
            given_up = self._attempts[task] >= ATTEMPTS
            if not given_up:
                heapq.heappush(self._tasks, (ORDER[type(task)], next(self._numbers) - 2**40, task))
                self._change.notify()
        if given_up:
            problem = f"{ATTEMPTS} workers died of it, the last one {how}"
            self._events.put(Event(task, problem=problem, ended=True))
        else:
            what = "one worker fewer goes on" if fewer else "another one repeats its task"
            self._events.put(Event(task, warning=f"a worker {how}; {what}"))
        return not fewer

    def _spawn(self) -> tuple[subprocess.Popen[bytes], Connection, str]:
        """Start a process and wait until its models are loaded."""
        ours, theirs = socket.socketpair()
        with interrupts_blocked(), ours, theirs, self._change:
            if self._closed:
                raise WorkerError("the run was ended")
            process = subprocess.Popen(
                [*child_command(_MODULE), str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,  # ours is for the results
                env=child_environment() | {"OMP_NUM_THREADS": "1"},
            )
            self._processes.add(process)
            connection = Connection(ours.detach())
        try:
            connection.send((self._job, self._segment_frames))
            answer = connection.recv()
        except (EOFError, OSError):
            raise _DiedError(self._bury(process)) from None
        if isinstance(answer, Failure):
            raise WorkerError(answer.text)
        assert isinstance(answer, Done)
        if answer.value != (self._identity or answer.value):
            raise WorkerError(
                "a file of the models has changed since the run began: put it back and start again"
            )
        self._identity = str(answer.value)
        return process, connection, str(answer.value)

    def _bury(self, process: subprocess.Popen[bytes] | None) -> int:
        """Return the exit code of a process that has ended."""
        assert process is not None
        self._processes.discard(process)
        return process.wait()


def _obituary(code: int) -> str:
    if code == OUT_OF_MEMORY:
        return "ran out of memory"
    if code == -signal.SIGKILL:
        return "was killed (out of memory?)"
    return f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
