"""Whether a planner may act, told from plain records of camera and engine."""

import math
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="the cameras need rclpy: scripts/env")

from objectomaly_ros.ros.health import problem
from objectomaly_ros.runtime.camera_state import CameraState
from objectomaly_ros.runtime.strangeness import ADVICE

pytestmark = pytest.mark.ros

NOW = 100.0


def told(age=0.1, received=0.1, *, listens=False, waiting=None, ranges=None, **engine):
    """Return the problem of a camera.

    Args:
        age, received: seconds since the newest image with results and the newest image arrived.
        listens: whether a planner output has subscribers.
        waiting: images that wait for the score maps of another node.
        ranges: why there are none.
        engine: what the engine tells.
    """
    state = CameraState(last_received_s=None if received is None else NOW - received)
    state.strangeness.lasts = engine.pop("strange", False)
    threshold = engine.pop("threshold", 0.5)
    record = SimpleNamespace(
        problem=lambda: engine.get("stuck"),
        cameras={"front": state},
        settings=SimpleNamespace(obstacles=None if threshold is None else object()),
    )
    camera = SimpleNamespace(
        topic="/front/image",
        scores=None if waiting is None else SimpleNamespace(waiting=waiting, topic="/s"),
        result_age_s=lambda now: age,
        places_obstacles=lambda: listens,
        geometry=SimpleNamespace(problem=ranges),
    )
    return problem(camera, record, "front", now=NOW)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, ""),
        ({"age": 1.9, "received": 1.9}, ""),
        ({"age": 2.1, "received": 2.1}, "no image on /front/image for 2.1 s"),
        ({"age": math.inf, "received": None}, "no image on /front/image yet"),
        (
            {"age": 2.5},
            "images arrive on /front/image, but none since 2.5 s ago has a result: see the log",
        ),
        (
            {"age": math.inf},
            "images arrive on /front/image, but none has a result: see the log",
        ),
        (
            {"age": 3.0, "received": 3.0, "waiting": 7},
            "7 images wait for their score maps on /s",
        ),
        ({"age": 3.0, "received": 3.0, "waiting": 0}, "no image on /front/image for 3.0 s"),
        ({"stuck": "the detector has taken 4 s and has not ended"}, "the detector has taken 4 s"),
        ({"ranges": "no CameraInfo on /i yet"}, ""),
        ({"ranges": "no CameraInfo on /i yet", "listens": True}, "no CameraInfo on /i yet"),
        ({"threshold": None}, ""),
        ({"threshold": None, "listens": True}, "threshold.high is not set: no obstacles"),
        ({"strange": True}, ADVICE),
    ],
)
def test_the_first_trouble_is_told_in_one_sentence(given, words):
    found = told(**given)
    assert words in found if words else found == ""
