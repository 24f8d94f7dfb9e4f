"""Diagnostics of the node."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from objectomaly_ros.ros.camera import Camera
from objectomaly_ros.runtime.camera_state import CameraState
from objectomaly_ros.runtime.engine import Engine
from objectomaly_ros.runtime.mask_generation import MaskGeneration
from objectomaly_ros.runtime.statistics import Rolling
from objectomaly_ros.runtime.strangeness import ADVICE

SILENCE_S = 2.0
"""A camera without images for longer is a warning."""

RECENT_S = 10.0
"""An error counts for so long."""

REPEATED = 3
"""So many exceptions of callbacks within RECENT_S are an error."""


@dataclass
class Seen:
    """Totals at the last report."""

    dropped: int = 0
    rejected: int = 0
    failed: int = 0
    unreadable: int = 0
    mask_failures: int = 0


def camera_status(
    name: str, camera: Camera, state: CameraState, seen: Seen, *, now: float
) -> DiagnosticStatus:
    """Report on a camera: ERROR if the detector fails on images, WARN if images are missing.

    Args:
        name: name of the status.
        camera: the topics of the camera.
        state: the engine's record of the camera.
        seen: its totals at the last report; updated.
        now: time on the engine's clock.
    """
    counters = state.counters
    dropped, rejected = counters.dropped - seen.dropped, counters.rejected - seen.rejected
    failed = counters.failed - seen.failed
    seen.dropped, seen.rejected, seen.failed = counters.dropped, counters.rejected, counters.failed
    unreadable, seen.unreadable = camera.unreadable - seen.unreadable, camera.unreadable
    silent = state.last_received_s is None or now - state.last_received_s > SILENCE_S
    topic, scores, depth = camera.topic, camera.scores, camera.depth
    unscored = scores.problem() if scores is not None else None
    level, message = DiagnosticStatus.OK, "every image is scored"
    if failed:
        level, message = DiagnosticStatus.ERROR, f"{failed} images failed, see the log"
    elif unreadable:
        level, message = DiagnosticStatus.WARN, f"{unreadable} messages unreadable, see the log"
    elif unscored is not None:
        level, message = DiagnosticStatus.WARN, unscored
    elif silent and scores is not None and scores.waiting:
        level = DiagnosticStatus.WARN
        message = f"{scores.waiting} images wait for their score maps on {scores.topic}"
    elif silent:
        level = DiagnosticStatus.WARN
        message = _silence(camera, state.last_received_s, now)
    elif rejected:
        level, message = DiagnosticStatus.WARN, f"{rejected} images refused, see the log"
    elif dropped:
        level = DiagnosticStatus.WARN
        message = f"{dropped} images dropped: the detector is slower than the camera"
    elif state.strangeness.lasts:
        level, message = DiagnosticStatus.WARN, ADVICE
    elif camera.geometry.blind is not None:
        level, message = DiagnosticStatus.WARN, camera.geometry.blind
    elif depth is not None and (missing := depth.problem()) is not None:
        level, message = DiagnosticStatus.WARN, missing
    return _status(
        level,
        name,
        message,
        {
            "topic": topic,
            "rate in (Hz)": f"{state.rate_in.per_second():.1f}",
            "rate out (Hz)": f"{state.rate_out.per_second():.1f}",
            **_percentiles("CAS latency", state.cas_latency),
            **_percentiles("total latency", state.latency),
            **_percentiles("detector", state.detector),
            "images received": counters.received,
            "images scored": counters.scored,
            "images refined": counters.refined,
            "images dropped": counters.dropped,
            "images malformed": counters.rejected,
            "images failed": counters.failed,
            "images out of order": counters.late,
            "images lost before the node": camera.lost,
            "messages unreadable": camera.unreadable,
            "scores seen": f"{camera.seen.low:.4g} to {camera.seen.high:.4g}",
            "camera pose": camera.geometry.origin,
            "camera model": camera.geometry.model,
            **(scores.counts() if scores is not None else {}),
            **(depth.counts() if depth is not None else {}),
        },
    )


def _silence(camera: Camera, last_s: float | None, now: float) -> str:
    topic, publishers = camera.topic, camera.publishers_of_image()
    if last_s is not None:
        age_s = now - last_s
        return f"images arrived until {age_s:.0f} s ago; publishers on {topic} now: {publishers}"
    if not publishers:
        others = ", ".join(camera.other_images()) or "no topic"
        return f"nobody publishes on {topic}: remap {camera.name_of_image} to yours ({others} now)"
    return (
        f"no image on {topic} yet, publishers: {publishers}; see that QoS matches "
        f"(ros2 topic info -v {topic}); between users or containers set "
        "FASTDDS_BUILTIN_TRANSPORTS=UDPv4"
    )


def engine_status(
    name: str, engine: Engine, seen: Seen, *, device: str, now: float, memory: str = "none"
) -> DiagnosticStatus:
    """Report on the detector, its memory of normal driving, and the mask generator."""
    masks, error, problem = engine.masks, engine.last_error, engine.problem()
    total = masks.failures if masks is not None else 0
    failures, seen.mask_failures = total - seen.mask_failures, total
    level, message = DiagnosticStatus.OK, "running"
    if problem is not None:
        level, message = DiagnosticStatus.ERROR, problem
    elif failures or (error is not None and now - error[0] < RECENT_S):
        level, message = DiagnosticStatus.WARN, error[1] if error is not None else "masks fail"
    elif engine.adapted:
        level = DiagnosticStatus.WARN
        message = f"running with a quicker, less accurate detector: {engine.adapted}"
    return _status(
        level,
        name,
        message,
        {
            "device": device,
            "memory of normal driving": memory,
            "detector made quicker": engine.adapted or "no",
            **({} if masks is None else _mask_values(masks)),
            "last error": "none" if error is None else f"{error[1]} ({now - error[0]:.0f} s ago)",
        },
    )


def _mask_values(masks: MaskGeneration) -> dict[str, Any]:
    return {
        **_percentiles("mask generation", masks.seconds),
        "mask generation in progress (s)": f"{masks.worker.busy_seconds():.1f}",
        "mask generation failures": masks.failures,
    }


def idle_status(name: str, state: str, problem: str | None, device: str) -> DiagnosticStatus:
    """Report on a node that is not active: ERROR if a transition failed."""
    level = DiagnosticStatus.OK if problem is None else DiagnosticStatus.ERROR
    return _status(level, name, problem or state, {"state": state, "device": device})


def add_faults(
    status: DiagnosticStatus, faults: Iterable[tuple[float, str]], *, now: float
) -> None:
    """Raise the level of `status`: ERROR after repeated exceptions of callbacks, WARN after one.

    Args:
        status: the node's.
        faults: times and texts of the latest exceptions, at most REPEATED.
        now: on the clock of the times.
    """
    recent = [text for time_s, text in faults if now - time_s < RECENT_S]
    level = DiagnosticStatus.ERROR if len(recent) >= REPEATED else DiagnosticStatus.WARN
    if recent and level > status.level:
        status.level, status.message = level, recent[-1]


def _percentiles(name: str, seconds: Rolling) -> dict[str, str]:
    found = seconds.percentiles()
    return {
        f"{name} {key} (ms)": "-" if math.isnan(value) else f"{1000 * value:.1f}"
        for key, value in (("p50", found.p50), ("p95", found.p95))
    }


def _status(level: Any, name: str, message: str, values: dict[str, Any]) -> DiagnosticStatus:
    pairs: Sequence[KeyValue] = [KeyValue(key=k, value=str(v)) for k, v in values.items()]
    return DiagnosticStatus(
        level=level, name=name, message=message, hardware_id="objectomaly_ros", values=pairs
    )
