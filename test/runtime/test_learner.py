"""Learning from live images in a process of its own."""

import threading
from pathlib import Path

import pytest
from tiny_embedded import OBSTACLE, SIGN, street, write_tiny_network

from objectomaly_ros.detectors.embedded import EmbeddedDetector
from objectomaly_ros.runtime import learner
from objectomaly_ros.runtime.learner import INTERVAL_S, Job, Learner


class Now:
    seconds = 0.0

    def __call__(self):
        return self.seconds


class Outcome:
    def __init__(self):
        self.memory = self.reason = None
        self.told = threading.Event()

    def done(self, memory):
        self.memory = memory
        self.told.set()

    def failed(self, reason):
        self.reason = reason
        self.told.set()


@pytest.fixture
def outcome():
    return Outcome()


@pytest.fixture
def start(tmp_path, outcome):
    """Starts a learner; closes it."""
    started = []

    def begin(out="", features=True):
        weights = write_tiny_network(tmp_path / "tiny.onnx", features=features)
        job = Job("embedded", str(weights), "cpu", {"input_size": 96}, str(out))
        started.append(Learner(job, outcome.done, outcome.failed, Now()))
        return started[-1]

    yield begin
    for one in started:
        one.close()


def offer(one, count):
    for seed in range(count):
        one._clock.seconds += INTERVAL_S
        before = one.images
        one.offer(street(seed))
        while one.images == before:
            threading.Event().wait(0.001)


def test_the_images_become_a_memory(start, outcome, tmp_path):
    one = start(tmp_path / "kept.safetensors")
    offer(one, 12)
    one.finish()
    assert outcome.told.wait(60)
    assert outcome.reason is None
    assert outcome.memory.calibration.images == 12
    detector = EmbeddedDetector(
        tmp_path / "tiny.onnx", input_size=96, memory=tmp_path / "kept.safetensors"
    )
    score = detector.score(street(100, obstacle=True))
    assert score[SIGN].max() < score[OBSTACLE].min()


def test_an_image_comes_every_half_second_at_most(start):
    one = start()
    offer(one, 1)
    one.offer(street())
    one._clock.seconds += INTERVAL_S / 2
    one.offer(street())
    offer(one, 1)
    threading.Event().wait(0.1)
    assert one.images == 2


def test_the_spacing_doubles_with_too_many_images(start, monkeypatch):
    monkeypatch.setattr(learner, "MOST_IMAGES", 4)
    one = start()
    offer(one, 4)
    one._clock.seconds += INTERVAL_S
    one.offer(street())
    for _ in range(500):
        if one._interval_s > INTERVAL_S:
            break
        threading.Event().wait(0.01)
    assert one.images == 3
    assert one._interval_s == 2 * INTERVAL_S


def test_what_goes_wrong_is_told(start, outcome):
    one = start(features=False)
    offer(one, 1)
    one.finish()
    assert outcome.told.wait(60)
    assert "gives no features" in outcome.reason


def test_without_images_nothing_is_learnt(start, outcome):
    start().finish()
    assert outcome.told.wait(60)
    assert "no image" in outcome.reason


def test_nothing_is_left_after_closing(start, outcome):
    one = start()
    offer(one, 2)
    folder = one._folder.name
    one.close()
    one._thread.join(10)
    assert not one._thread.is_alive()
    assert not outcome.told.is_set()
    assert not Path(folder).exists()
