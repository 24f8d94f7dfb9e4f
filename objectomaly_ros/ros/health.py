"""Whether a planner may act on the outputs of a camera."""

from __future__ import annotations

from objectomaly_ros.ros.camera import Camera
from objectomaly_ros.runtime.engine import Engine
from objectomaly_ros.runtime.strangeness import ADVICE

LATE_S = 2.0
"""Results of an image that arrived longer ago are too old; Nav2's default source_timeout."""


def problem(camera: Camera, engine: Engine, name: str, *, now: float) -> str:
    """Return why the outputs of a camera may not be acted on, in one sentence; "" if they may.

    Args:
        camera: its topics.
        engine: scores its images.
        name: of the camera.
        now: on the engine's clock.
    """
    stuck = engine.problem()
    if stuck is not None:
        return stuck
    state = engine.cameras[name]
    age_s = camera.result_age_s(now)
    if age_s > LATE_S:
        return _lateness(camera, state.last_received_s, age_s, now)
    if camera.places_obstacles():
        if engine.settings.obstacles is None:
            return "the detector has no threshold and threshold.high is not set: no obstacles"
        if camera.geometry.problem is not None:
            return camera.geometry.problem
    return ADVICE if state.strangeness.lasts else ""


def _lateness(camera: Camera, received_s: float | None, age_s: float, now: float) -> str:
    scores = camera.scores
    if received_s is not None and now - received_s <= LATE_S:
        since = "has a result" if age_s == float("inf") else f"since {age_s:.1f} s ago has a result"
        return f"images arrive on {camera.topic}, but none {since}: see the log"
    if scores is not None and scores.waiting:
        return f"{scores.waiting} images wait for their score maps on {scores.topic}"
    if received_s is None:
        return f"no image on {camera.topic} yet"
    return f"no image on {camera.topic} for {now - received_s:.1f} s"
