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
from multiprocessing.connection import Connection

from objectomaly_ros.oasc import OascRule, rule_for
from objectomaly_ros.runtime.keyframes import Failure, KeyframeMasks, MaskGeneratorSpec
from objectomaly_ros.runtime.log_text import describe
from objectomaly_ros.types import Image, MaskGenerator, RenewsMasks, ScoreMap
from objectomaly_ros.video.mask_set import cells, find_masks

NICENESS = 10
"""Added to the process's niceness: beside CAS it gets what CAS leaves."""


def generate(
    generator: MaskGenerator, image: Image, score: ScoreMap, rule: OascRule
) -> KeyframeMasks:
    """Generate the masks of one keyframe and make cells of them."""
    started = time.perf_counter()
    found = find_masks(generator, image, score)
    ready = cells(found, (image.shape[0], image.shape[1]), rule)
    frame_superpixels = None
    if rule.overlap == "inverse_variance" and isinstance(generator, RenewsMasks):
        frame_superpixels = generator.frame_superpixels
    return KeyframeMasks(ready, ready.n_masks, time.perf_counter() - started, frame_superpixels)


def serve(connection: Connection) -> None:
    """Load the generator that the first message names, then answer keyframes until the end."""
    source: MaskGeneratorSpec = connection.recv()
    _leave_room_for_cas(source.device)
    from objectomaly_ros.masks import load_mask_generator

    try:
        generator = load_mask_generator(
            source.name, source.checkpoint, source.device, **source.options
        )
        rule = rule_for(generator, source.overlap)
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
