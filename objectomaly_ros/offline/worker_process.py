"""A process that does the tasks of a run; `pool` starts it and exchanges pickles with it."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import NamedTuple

from objectomaly_ros.files.writing import is_full
from objectomaly_ros.runtime.log_text import describe

OUT_OF_MEMORY = 77
"""Exit code of a worker that could not get enough memory."""


class Progress(NamedTuple):
    """Frames that are done since the last message."""

    frames: int


class Done(NamedTuple):
    """A task's result; the first one, after loading the models, is their identity."""

    value: object


class Failure(NamedTuple):
    """Why a task cannot be done; `fatal` if no other can be done either."""

    text: str
    fatal: bool


def serve(connection: Connection) -> None:
    """Load the models of the job that the first message is, and do the tasks that follow."""
    job, segment_frames = connection.recv()
    logging.disable(logging.WARNING)  # of damage and bad images: the summary has them
    import cv2

    cv2.setNumThreads(1)  # as OMP_NUM_THREADS does for the others
    try:
        from objectomaly_ros.offline.tasks import Worker

        worker = Worker(job, segment_frames)
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)
    except BaseException as error:  # a user's module may call sys.exit
        connection.send(Failure(describe(error), True))
        return
    connection.send(Done(worker.models.identity))
    while True:
        task = connection.recv()
        try:
            value = worker.perform(task, lambda frames: connection.send(Progress(frames)))
        except MemoryError:
            sys.exit(OUT_OF_MEMORY)
        except Exception as error:
            # A BagError of a full disk has the OSError as its cause.
            full = is_full(error) or (error.__cause__ is not None and is_full(error.__cause__))
            connection.send(Failure(describe(error), full))
        else:
            connection.send(Done(value))


def _end_with_parent(parent: int) -> None:
    """End when the command was killed, even in the middle of a task."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def main() -> None:
    """Serve on the socket whose file descriptor is the first argument."""
    # Ctrl-C reaches all processes of a terminal; the command ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(int(sys.argv[2]),), daemon=True).start()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the command ended
        serve(Connection(int(sys.argv[1])))
