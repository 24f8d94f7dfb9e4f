"""A process that does the tasks of a run; `pool` starts it and exchanges pickles with it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, NamedTuple

from objectomaly_ros.files.writing import is_full
from objectomaly_ros.runtime.environment import end_with_parent, keep_freed_memory
from objectomaly_ros.runtime.log_text import describe

if TYPE_CHECKING:
    from objectomaly_ros.offline.job import Job
    from objectomaly_ros.offline.tasks import Task, Worker

OUT_OF_MEMORY = 77
"""Exit code of a worker that could not get enough memory."""


class Progress(NamedTuple):
    """Frames that are done since the last message, and bytes that are copied."""

    frames: int
    copied: int = 0


class Done(NamedTuple):
    """A task's result; the first one, after loading the models, is their identity."""

    value: object


class Failure(NamedTuple):
    """Why a task cannot be done; `fatal` if no other can be done either."""

    text: str
    fatal: bool


def make_worker(job: Job, segment_frames: int) -> Worker:
    """Load the models of a job, in a process that has OMP_NUM_THREADS=1.

    Raises:
        BaseException: the models do not load; a user's module may call sys.exit.
    """
    logging.disable(logging.WARNING)  # of damage and bad images: the summary has them
    keep_freed_memory()
    import cv2

    cv2.setNumThreads(1)  # as OMP_NUM_THREADS does for the others
    from objectomaly_ros.offline.tasks import Worker

    return Worker(job, segment_frames)


def attempt(
    worker: Worker,
    task: Task,
    progress: Callable[[int], None],
    copied: Callable[[int], None] = lambda count: None,
) -> Done | Failure:
    """Do a task, see `Worker.perform`.

    Raises:
        MemoryError: there is not enough memory here; the process should end.
    """
    try:
        return Done(worker.perform(task, progress, copied))
    except MemoryError:
        raise
    except Exception as error:
        # A BagError of a full disk has the OSError as its cause.
        full = is_full(error) or (error.__cause__ is not None and is_full(error.__cause__))
        return Failure(task.place.told(reason(error)), full)


def reason(error: BaseException) -> str:
    """Return why something cannot be done, for the user."""
    if isinstance(error, OSError) and error.strerror and error.filename is None:
        return error.strerror  # of `files.writing`, which names the file
    return describe(error).removeprefix("BagError: ")


def serve(connection: Connection) -> None:
    """Load the models of the job that the first message is, and do the tasks that follow."""
    try:
        worker = make_worker(*connection.recv())
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)
    except BaseException as error:  # a user's module may call sys.exit
        connection.send(Failure(describe(error), True))
        return
    connection.send(Done(worker.models.identity))
    while True:
        task = connection.recv()
        try:
            answer = attempt(
                worker,
                task,
                lambda frames: connection.send(Progress(frames)),
                lambda size: connection.send(Progress(0, size)),
            )
        except MemoryError:
            sys.exit(OUT_OF_MEMORY)
        connection.send(answer)


def main() -> None:
    """Serve on the socket whose file descriptor is the first argument."""
    end_with_parent(int(sys.argv[2]))
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the command ended
        serve(Connection(int(sys.argv[1])))
