"""Workers of a Ray cluster, which do the tasks of a run."""

from __future__ import annotations

import heapq
import itertools
import os
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stdout, suppress
from dataclasses import replace
from typing import Any

from objectomaly_ros.models.extras import naming_extra
from objectomaly_ros.offline.job import Job
from objectomaly_ros.offline.pool import ATTEMPTS, ORDER, Event, WorkerError
from objectomaly_ros.offline.tasks import Place, Segment, Task, Worker
from objectomaly_ros.offline.worker_process import (
    OUT_OF_MEMORY,
    Done,
    Failure,
    attempt,
    make_worker,
)
from objectomaly_ros.runtime.environment import DEFAULTS
from objectomaly_ros.runtime.log_text import describe

QUEUED = 2
"""Tasks for each core that Ray knows of at a time, so that no core waits for this process."""

_POLL_S = 1.0
_CONNECT_S = 10.0
_worker: tuple[Job, int, Worker] | None = None  # in a process of Ray's, which does many tasks


class RayPool:
    """Has the tasks of a run done by a Ray cluster; a context manager, used as `pool.Pool`.

    Every task takes one core, and one GPU if the job has one. A task whose worker dies, with its
    machine or for lack of memory, is given to another one.

    Args:
        job: of the workers.
        address: of the cluster; "auto" for that of this machine.
        segment_frames: see `make_plan`.
    """

    def __init__(self, job: Job, address: str, segment_frames: int) -> None:
        self._job = job
        self._address = address
        self._segment_frames = segment_frames
        self._stdout = ExitStack()
        self._ray: Any = None
        self._function: Any = None
        self._told: Any = None
        self._identity = ""
        self._tasks: list[tuple[int, int, Task]] = []
        self._numbers = itertools.count()
        self._running: dict[Any, Task] = {}
        self._attempts: Counter[Task] = Counter()
        self._dropped: set[Place] = set()

    def __enter__(self) -> RayPool:
        # Ray prints there what happens to machines, where --json would be spoilt.
        self._stdout.enter_context(redirect_stdout(sys.stderr))
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def start(self) -> str:
        """Connect, and have the models loaded once; return their identity.

        Raises:
            WorkerError: there is no cluster, or the models do not load there.
            ImportError: Ray is not installed.
        """
        with naming_extra("--ray"):
            import ray
            from ray.util.queue import Queue
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
        self._ray = ray
        try:
            _check_address(self._address)
            ray.init(address=self._address, log_to_driver=False, logging_level="ERROR")
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise WorkerError(
                f"no Ray cluster at {self._address} ({describe(error)}): start one with `ray start "
                "--head`, and `ray start --address=HEAD:6379` on further machines"
            ) from error
        environment = {**DEFAULTS, "OMP_NUM_THREADS": "1"}
        self._function = ray.remote(perform).options(
            num_cpus=1,
            num_gpus=0 if self._job.device == "cpu" else 1,
            max_retries=0,  # the attempts are counted here, and told
            runtime_env={"env_vars": environment},
        )
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._told = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
        answer = self._load()
        if isinstance(answer, Failure):
            raise WorkerError(answer.text)
        self._identity = str(answer.value)
        return self._identity

    def _load(self) -> Done | Failure:
        for _ in range(ATTEMPTS):
            try:
                return self._answer_of(self._submit(None))
            except _LostError as error:
                lost = error
        raise WorkerError(f"{ATTEMPTS} workers died while they loaded, the last one {lost}")

    def add(self, task: Task) -> None:
        """Have a task done, after those of other kinds that are more urgent."""
        heapq.heappush(self._tasks, (ORDER[type(task)], next(self._numbers), task))

    def drop(self, place: Place) -> None:
        """Do no further task of a recording."""
        self._dropped.add(place)

    def events(self) -> Iterator[Event]:
        """Yield what happens until no task is left; tasks may be added meanwhile.

        Raises:
            WorkerError: nothing can go on.
        """
        while self._tasks or self._running:
            most = QUEUED * max(1, int(self._ray.cluster_resources().get("CPU", 0)))
            while self._tasks and len(self._running) < most:
                task = heapq.heappop(self._tasks)[2]
                if task.place in self._dropped:
                    yield Event(task, ended=True)
                else:
                    self._running[self._submit(task)] = task
            ready, _ = self._ray.wait(list(self._running), timeout=_POLL_S)
            yield from self._progress()
            for reference in ready:
                yield from self._finish(reference)

    def close(self) -> None:
        """Leave the cluster; it ends what is still running."""
        if self._ray is not None:
            self._ray.shutdown()
        self._stdout.close()

    def _submit(self, task: Task | None) -> Any:
        if task is not None:  # processes of other machines have another working folder
            place = task.place
            far = replace(place, path=place.path.absolute(), out=place.out.absolute())
            task = replace(task, place=far)
        return self._function.remote(
            self._job, self._segment_frames, self._identity, task, self._told.actor
        )

    def _progress(self) -> Iterator[Event]:
        tasks = {reference.task_id().hex(): task for reference, task in self._running.items()}
        with suppress(self._ray.exceptions.RayError):  # the end of a task tells as much
            waiting = self._ray.get(self._told.actor.qsize.remote(), timeout=_POLL_S)
            for number, frames, copied in self._told.get_nowait_batch(waiting):
                if number in tasks:
                    yield Event(tasks[number], frames, copied)

    def _finish(self, reference: Any) -> Iterator[Event]:
        task = self._running.pop(reference)
        try:
            answer = self._answer_of(reference)
        except _LostError as error:
            yield self._repeat(task, str(error))
            return
        if isinstance(answer, Failure):
            if answer.fatal:
                raise WorkerError(answer.text)
            yield Event(task, problem=answer.text, ended=True)
        else:
            yield Event(task, value=answer.value, ended=True)

    def _answer_of(self, reference: Any) -> Done | Failure:
        errors = self._ray.exceptions
        try:
            answer: Done | Failure = self._ray.get(reference)
            return answer
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.ObjectLostError) as error:
            raise _LostError("died") from error
        except errors.OutOfMemoryError as error:
            raise _LostError("ran out of memory") from error
        except errors.RayError as error:  # such as a machine without this package
            raise WorkerError(f"Ray cannot go on: {describe(error)}") from error

    def _repeat(self, task: Task, how: str) -> Event:
        self._attempts[task] += 1
        if self._attempts[task] >= ATTEMPTS:
            return Event(
                task, problem=f"{ATTEMPTS} workers died of it, the last one {how}", ended=True
            )
        heapq.heappush(self._tasks, (ORDER[type(task)], next(self._numbers) - 2**40, task))
        return Event(task, warning=f"a worker {how}; another one repeats its task")


def _check_address(address: str) -> None:
    """Raise an OSError if nobody listens at HOST:PORT; Ray would wait for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), _CONNECT_S).close()


class _LostError(Exception):
    """A worker ended without an answer."""


def perform(
    job: Job, segment_frames: int, identity: str, task: Task | None, told: Any
) -> Done | Failure:
    """Do a task in a process of Ray's, with the models that it has loaded before.

    Args:
        job: of the worker.
        segment_frames: of the worker.
        identity: that its models must have; empty for any.
        task: None to load the models alone.
        told: the actor of a queue for number of the task, frames that are done, bytes copied.

    Returns:
        the result; for no task the identity of the models.
    """
    host = socket.gethostname()
    try:
        worker = _worker_of(job, segment_frames)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except BaseException as error:  # a user's module may call sys.exit
        return Failure(f"{describe(error)} (on {host})", True)
    found = worker.models.identity
    if identity not in ("", found):
        text = "other weights, or another version of this package"
        return Failure(f"{host} has {text}: install the same on all machines", True)
    if task is None:
        return Done(found)
    place = task.place
    for path, fatal in ((place.out, True), (None if place.url else place.path, False)):
        if path is not None and not path.exists():
            text = f"{host} has no {path}: it must be on a disk that all machines share"
            text += ", see --work" if place.target and path == place.out else ""
            return Failure(text, fatal)
    import ray

    number = ray.get_runtime_context().get_task_id()
    try:
        answer = attempt(
            worker,
            task,
            lambda frames: told.put_nowait.remote((number, frames, 0)),
            lambda size: told.put_nowait.remote((number, 0, size)),
        )
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    if isinstance(answer, Failure) and isinstance(task, Segment) and _is_done(task):
        return Done(None)
    return answer


def _is_done(task: Segment) -> bool:
    """Tell whether another worker was quicker, which was taken for dead."""
    return task.place.part(task.stream, task.number).exists()


def _worker_of(job: Job, segment_frames: int) -> Worker:
    global _worker
    if _worker is None or _worker[:2] != (job, segment_frames):
        _worker = (job, segment_frames, make_worker(job, segment_frames))
    return _worker[2]
