import threading
import time

import numpy as np
import pytest

from objectomaly_ros.runtime.keyframes import Keyframe
from objectomaly_ros.runtime.mask_worker import MaskWorker

IMAGE, SCORE = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32)


def keyframe(number, camera=""):
    return Keyframe(camera, 0, number, float(number), IMAGE + number, SCORE)


class Gate:
    """A generator that tells what it got and waits until it is let go."""

    def __init__(self):
        self.seen, self.go = [], threading.Semaphore(0)
        self.entered = threading.Semaphore(0)

    def __call__(self, image, score):
        self.seen.append(int(image[0, 0, 0]))
        self.entered.release()
        assert self.go.acquire(timeout=60)
        return f"masks {image[0, 0, 0]}"


def poll(worker, count, camera=""):
    outcomes, end = [], time.monotonic() + 60
    while len(outcomes) < count and time.monotonic() < end:
        outcomes += worker.poll(camera)
        time.sleep(0.005)
    return [(outcome.keyframe.number, outcome.masks) for outcome in outcomes]


def test_the_newest_waiting_keyframe_wins_and_the_others_are_reported():
    gate = Gate()
    worker = MaskWorker(gate, lambda error: None)
    worker.submit(keyframe(1))
    assert gate.entered.acquire(timeout=60)
    for number in (2, 3, 4):
        worker.submit(keyframe(number))
    assert poll(worker, 2) == [(2, None), (3, None)]
    gate.go.release(2)
    assert poll(worker, 2) == [(1, "masks 1"), (4, "masks 4")]
    assert gate.seen == [1, 4]
    assert worker.close(5)


def test_submit_never_waits_for_the_generator():
    gate = Gate()
    worker = MaskWorker(gate, lambda error: None)
    for number in range(100):
        worker.submit(keyframe(number))  # would hang here
    assert worker.poll("") is not None
    gate.go.release(2)
    assert worker.close(5)


def test_cameras_take_turns():
    gate = Gate()
    worker = MaskWorker(gate, lambda error: None)
    worker.submit(keyframe(0, "busy"))
    assert gate.entered.acquire(timeout=60)
    worker.submit(keyframe(1, "a"))
    worker.submit(keyframe(2, "b"))
    worker.submit(keyframe(3, "a"))  # newer, in the turn of the older
    gate.go.release(3)
    poll(worker, 1, "b")
    assert gate.seen == [0, 3, 2]
    assert poll(worker, 2, "a") == [(1, None), (3, "masks 3")]
    assert worker.close(5)


@pytest.mark.parametrize("kind", [RuntimeError, SystemExit])
def test_a_failure_is_told_and_the_next_keyframe_is_served(kind):
    def fussy(image, score):
        if image[0, 0, 0] == 1:
            raise kind("I do not like 1")
        return "masks"

    errors = []
    worker = MaskWorker(fussy, errors.append)
    worker.submit(keyframe(1))
    assert poll(worker, 1) == [(1, None)]
    assert [str(error) for error in errors] == ["I do not like 1"]
    worker.submit(keyframe(2))
    assert poll(worker, 1) == [(2, "masks")]
    assert worker.close(5)


def test_close_does_not_wait_longer_than_told_and_busy_time_is_known():
    now = [0.0]
    gate = Gate()
    worker = MaskWorker(gate, lambda error: None, clock=lambda: now[0])
    assert worker.busy_seconds() == 0
    worker.submit(keyframe(1))
    assert gate.entered.acquire(timeout=60)
    now[0] = 7.0
    assert worker.busy_seconds() == 7.0
    assert not worker.close(0.05)
    gate.go.release()
    assert worker.close(5)
