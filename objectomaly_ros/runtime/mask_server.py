"""The process that generates masks, so that a slow generator never takes time from CAS.

A thread would not do: a generator that works in Python or NumPy holds the interpreter's lock, and
CAS would wait for it at every operation. `mask_process.MaskProcess` starts this process and
exchanges pickles with it over a socket.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from objectomaly_ros.oasc import OascRule, rule_for
from objectomaly_ros.runtime.environment import end_with_parent
from objectomaly_ros.runtime.keyframes import (
    WARM_UP_SHAPE,
    Failure,
    KeyframeMasks,
    MaskGeneratorSpec,
)
from objectomaly_ros.runtime.log_text import describe
from objectomaly_ros.types import Image, MaskGenerator, RenewsMasks, ScoreMap
from objectomaly_ros.video.mask_set import cells, find_masks

NICENESS = 1
"""Added to the process's niceness: CAS comes first, but other busy processes leave it some time."""


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
    """Serve the generator that the first message names.

    Answers once it is loaded, with the masks of a picture of noise, and then to every keyframe.
    """
    source: MaskGeneratorSpec = connection.recv()
    _leave_room_for_cas(source.device)
    from objectomaly_ros.masks import load_mask_generator

    try:
        generator = load_mask_generator(
            source.name, source.checkpoint, source.device, **source.options
        )
        rule = rule_for(generator, source.overlap)
    except BaseException as error:  # a user's module may call sys.exit
        connection.send(Failure(describe(error)))
        return
    connection.send(None)
    # The first masks take long, for libraries load and prepare with them.
    image = np.random.default_rng(0).integers(0, 256, WARM_UP_SHAPE, np.uint8)
    score = np.zeros(WARM_UP_SHAPE[:2], np.float32)
    while True:
        answer: KeyframeMasks | Failure
        try:
            answer = generate(generator, image, score, rule)
        except BaseException as error:
            answer = Failure(describe(error))
        connection.send(answer)
        image, score = connection.recv()


def _leave_room_for_cas(device: str) -> None:
    try:
        os.nice(NICENESS)
        Path("/proc/self/oom_score_adj").write_text("500")  # out of memory: not the node, this
    except OSError as error:
        print(f"the mask process cannot give way to others: {error}", file=sys.stderr, flush=True)
    if device != "cpu":
        return
    threads = max(1, len(os.sched_getaffinity(0)) - 1)
    import cv2

    cv2.setNumThreads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # torch reads it when it loads


def main() -> None:
    """Serve on the socket whose file descriptor is the first argument."""
    # The node blocks SIGTERM and SIGINT before it starts this process. SIGINT stays blocked: Ctrl-C
    # reaches all processes of a terminal, but the node ends this one.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    end_with_parent(os.getppid())
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the node ended
        serve(Connection(int(sys.argv[1])))
