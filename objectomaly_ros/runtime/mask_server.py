"""The process that generates masks, so that a slow generator never takes time from CAS.

A thread would not do: a generator that works in Python or NumPy holds the interpreter's lock, and
CAS would wait for it at every operation. Started by `mask_process.MaskProcess` as
`python -m objectomaly_ros.runtime.mask_server FD`; speaks pickles over that socket.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from objectomaly_ros.cells import Cells
from objectomaly_ros.keyframe import find_masks
from objectomaly_ros.oasc_rule import OascRule, Overlap, rule_for
from objectomaly_ros.types import FreshMasks, Image, MaskGenerator, ScoreMap

NICENESS = 10
"""Added to the process's niceness: beside CAS it gets what CAS leaves."""


class MaskGeneratorError(RuntimeError):
    """Masks could not be generated; the message says why."""


@dataclass(frozen=True)
class MaskSource:
    """Which mask generator to load, and how its masks overlap.

    Attributes:
        name, checkpoint, device, options: as `load_mask_generator` takes them.
        overlap, residual, fade_s, memory_s: how OASC joins them, see `rule_for`; None for what the
            generator recommends.
    """

    name: str
    checkpoint: str | None = None
    device: str = "cpu"
    options: dict[str, Any] = field(default_factory=dict)
    overlap: Overlap | None = None
    residual: float | None = None
    fade_s: float | None = None
    memory_s: float | None = None


@dataclass(frozen=True)
class KeyframeMasks:
    """The masks of one keyframe, ready for OASC.

    Attributes:
        cells: of the keyframe's shape.
        count: number of masks that have a pixel.
        seconds: that generating them took.
        fresh: makes quick masks of the frames after, to join these; None for none.
    """

    cells: Cells
    count: int
    seconds: float
    fresh: FreshMasks | None = None


@dataclass(frozen=True)
class Failure:
    """What went wrong in the other process, in words."""

    text: str


def generate(
    generator: MaskGenerator, image: Image, score: ScoreMap, rule: OascRule
) -> KeyframeMasks:
    """Generate the masks of one keyframe and make cells of them."""
    started = time.perf_counter()
    found = find_masks(generator, image, score)
    cells = found.cells((image.shape[0], image.shape[1]), rule)
    fresh = getattr(generator, "fresh_masks", None) if rule.overlap == "agreement" else None
    return KeyframeMasks(cells, cells.n_masks, time.perf_counter() - started, fresh)


def serve(connection: Connection) -> None:
    """Load the generator that the first message names, then answer keyframes until the end."""
    source: MaskSource = connection.recv()
    _leave_room_for_cas(source.device)
    from objectomaly_ros.masks import load_mask_generator

    try:
        generator = load_mask_generator(
            source.name, source.checkpoint, source.device, **source.options
        )
        rule = rule_for(generator, source.overlap, source.residual, source.fade_s, source.memory_s)
    except Exception as error:
        connection.send(Failure(describe(error)))
        return
    connection.send(None)
    while True:
        image, score = connection.recv()
        answer: KeyframeMasks | Failure
        try:
            answer = generate(generator, image, score, rule)
        except Exception as error:
            answer = Failure(describe(error))
        connection.send(answer)


def describe(error: BaseException) -> str:
    """An exception as one line for a log, with its type where the words may say too little."""
    text = " ".join(str(error).split())
    plain = isinstance(error, (ValueError, FileNotFoundError, ImportError, MaskGeneratorError))
    return text if plain and text else f"{type(error).__name__}: {text}"


def _leave_room_for_cas(device: str) -> None:
    os.nice(NICENESS)
    # CAS wakes its second thread a hundred times a frame: an idle-policy process, where the kernel
    # knows one, gives way to it at once and not only at the end of its time slice.
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    if device != "cpu":
        return
    threads = max(1, len(os.sched_getaffinity(0)) - 1)
    import cv2

    cv2.setNumThreads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # torch reads it when it is imported, if it is


def _end_with_parent(parent: int) -> None:
    """End also while a generator is busy, should the node be killed and nobody tell us."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def main() -> None:
    """Serve on the socket whose file descriptor is the first argument."""
    # The node blocks both before it starts us. Ctrl-C reaches the whole terminal, but it is for the
    # node alone, which ends us.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the node is gone
        serve(Connection(int(sys.argv[1])))


if __name__ == "__main__":
    # Pickled classes must be those of the importable module, not of __main__.
    from objectomaly_ros.runtime import mask_server

    mask_server.main()
