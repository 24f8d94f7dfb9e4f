"""CAS beside SAM against CAS alone: in the real node, or in its engine if ROS is not installed."""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from objectomaly_ros.benchmark.street import draw_street
from objectomaly_ros.runtime import interface
from objectomaly_ros.runtime.cadence import CadenceSettings
from objectomaly_ros.runtime.engine import Engine
from objectomaly_ros.runtime.interface import Demand, Frame, Result
from objectomaly_ros.runtime.keyframes import KeyframeMasks, MaskGeneratorSpec
from objectomaly_ros.runtime.mask_process import MaskProcess
from objectomaly_ros.types import Detector, Image, ScoreMap
from tools.gpu import models
from tools.gpu.rows import Budget, Row, Settings, Task

DETECTOR, MASKS = "tools.gpu.models:node_detector", "tools.gpu.models:node_masks"
MODELS = ("mask2anomaly", "sam_vit_h")
RATIO = "times alone"
LOAD = 0.7  # share of the time that the detector is busy
LEAST_FRAMES = 10
WAIT_S = 30.0
"""The engine runs on for so long until a frame is refined."""


def has_ros() -> bool:
    """Tell whether the real node can run here."""
    try:
        importlib.import_module("rclpy")
        importlib.import_module("objectomaly_ros.msg")
    except ImportError:
        return False
    return True


def measure(task: Task, settings: Settings, budget: Budget) -> Iterator[Row]:
    """Measure CAS alone, beside SAM on every frame, and alone again."""
    in_node = task.form == "node"
    run = _in_node(settings) if in_node else _in_engine(settings)
    kinds = (models.weights(name, settings.tiny) for name in MODELS)
    kind = ", ".join(dict.fromkeys(kinds))
    height, width = _shape(settings)
    alone: list[float] = []
    for number, (form, with_masks) in enumerate(
        (("CAS alone", False), ("CAS beside SAM", True), ("CAS alone again", False))
    ):
        seconds = 0.5 if settings.tiny else max(4.0, budget.left() / (3 - number) / 2)
        latencies, refined = run(with_masks, seconds)
        if not latencies:
            raise RuntimeError(f"{form}: no frame was scored")
        p50, p99 = (1e3 * float(v) for v in np.percentile(latencies, [50, 99]))
        figures = {"p50 ms": p50, "p99 ms": p99, "frames": len(latencies)}
        if with_masks:
            figures |= {"refined": refined, RATIO: p99 / float(np.mean(alone))}
        alone.append(p99)
        note = "Mask2Anomaly, SAM ViT-H on every frame" if with_masks else "Mask2Anomaly"
        yield Row("real node" if in_node else "engine without ROS", form, f"{width}x{height}",
                  figures, weights=kind, note=note)  # fmt: skip


def _shape(settings: Settings) -> tuple[int, int]:
    """Return height and width of the images."""
    return (64, 96) if settings.tiny else (720, 1280)


Run = Callable[[bool, float], tuple[list[float], int]]
"""With masks or without, seconds -> latencies of CAS in seconds, and number of refined frames."""


@dataclass
class _Recorder:
    """The engine's surroundings: keeps how late each coarse score is."""

    latencies: list[float] = field(default_factory=list)
    refined: int = 0
    problems: list[str] = field(default_factory=list)

    def decode(self, frame: Frame) -> Image:
        image: Image = frame.message
        return image

    def demand(self, camera: str) -> Demand:
        return Demand()

    def coarse(self, frame: Frame, score: ScoreMap) -> None:
        self.latencies.append(time.monotonic() - frame.received_s)

    def result(self, result: Result) -> None:
        self.refined += result.refined.mask_count is not None

    def warn(self, key: str, text: str) -> None:
        if key == "masks":
            self.problems.append(text)

    def error(self, key: str, text: str) -> None:
        self.problems.append(text)


def _in_engine(settings: Settings) -> Run:
    detector = models.node_detector(None, settings.device, tiny=settings.tiny)
    image = draw_street(*_shape(settings))
    period = _period(detector, image)

    def run(with_masks: bool, seconds: float) -> tuple[list[float], int]:
        if not with_masks:
            return _paced(detector, None, image, period, seconds)
        process = MaskProcess(
            MaskGeneratorSpec(MASKS, None, settings.device, {"tiny": settings.tiny})
        )
        try:
            process.start()
            process.wait()
            return _paced(detector, process.generate, image, period, seconds)
        finally:
            process.close()

    return run


def _paced(
    detector: Detector,
    generate: Callable[[Image, ScoreMap], KeyframeMasks] | None,
    image: Image,
    period: float,
    seconds: float,
) -> tuple[list[float], int]:
    recorder = _Recorder()
    engine = Engine(
        detector,
        generate,
        recorder,
        # Masks are used however old: on a busy machine none would be young enough.
        interface.Settings(CadenceSettings(every_n=1), max_age_s=WAIT_S, keep_up=False),
    )
    began = time.monotonic()
    wanted, sent = max(LEAST_FRAMES, round(seconds / period)), 0
    while sent < wanted or (
        generate and not recorder.refined and time.monotonic() < began + seconds + WAIT_S
    ):
        time.sleep(max(0.0, began + sent * period - time.monotonic()))
        now = time.monotonic()
        engine.submit(Frame("", now, now, image))
        sent += 1
    deadline = time.monotonic() + 10 * period + 1
    while len(recorder.latencies) < sent and time.monotonic() < deadline:
        time.sleep(0.01)
    engine.close(timeout=5 * period + 5)
    if recorder.problems:
        raise RuntimeError(recorder.problems[0])
    return recorder.latencies, recorder.refined


def _in_node(settings: Settings) -> Run:
    from tools.benchmarks import soak

    detector = models.node_detector(None, settings.device, tiny=settings.tiny)
    height, width = _shape(settings)
    period = _period(detector, draw_street(height, width))
    del detector  # the node loads its own
    options = f"[tiny={str(settings.tiny).lower()}]"

    def run(with_masks: bool, seconds: float) -> tuple[list[float], int]:
        arguments = argparse.Namespace(
            seconds=max(seconds, LEAST_FRAMES * period),
            rate=1 / period,
            width=width,
            height=height,
            burst=0,
            detector=DETECTOR,
        )
        report = soak.measure(
            arguments,
            f"device:={settings.device}",
            f"detector.options:={options}",
            f"masks.name:={MASKS if with_masks else 'none'}",
            *(
                [f"masks.options:={options}", "refine.every_n:=1", "refine.max_age_s:=5.0"]
                if with_masks
                else []
            ),
        )
        return list(report.coarse.values()), report.refined

    return run


def _period(detector: Detector, image: Image) -> float:
    """Return the seconds between frames that keep the detector busy for `LOAD` of the time."""
    detector.score(image)
    began = time.monotonic()
    for _ in range(3):
        detector.score(image)
    return max(1 / 30, (time.monotonic() - began) / 3 / LOAD)
