"""Measure what all outputs for planners take of one core, per frame, beside the detector.

    scripts/env python -m tools.benchmarks.planner_outputs               # 640x360
    scripts/env python -m tools.benchmarks.planner_outputs --frames 100

The frames are those of the demo's drive, with the detector's obstacles and road. Messages are made
but not sent. The limit is 3 ms at 640x360. Run it on a quiet machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
PLANES = ("points", "scan", "free", "footprints")


def main() -> None:
    """Measure and print."""
    from tools.command import parser

    options = parser(__doc__)
    options.add_argument("--frames", type=int, default=50)
    arguments = options.parse_args()
    for name in THREADS:
        os.environ[name] = "1"
    measure(arguments.frames)


def measure(frames: int) -> None:
    """Print milliseconds of processor time per frame, of each output and of all."""
    import cv2
    import numpy as np
    from std_msgs.msg import Header

    from objectomaly_ros.demo.drive.render import RenderedDrive
    from objectomaly_ros.detectors import detect
    from objectomaly_ros.geometry.placement import place
    from objectomaly_ros.geometry.view import View
    from objectomaly_ros.obstacles.stage import ObstacleStage
    from objectomaly_ros.ros import detection_messages, parameters
    from objectomaly_ros.ros.loading import load_detector
    from objectomaly_ros.ros.planner_outputs import PlannerOutputs

    cv2.setNumThreads(1)
    values = {spec.name: spec.default for spec in parameters.SPECS}
    detector: Any = load_detector(
        {**values, "device": "cpu", "detector.options": ["threads=1"]}, "cpu"
    )
    settings = parameters.settings(values, detector.threshold)
    assert settings.obstacles is not None
    drive, stage = RenderedDrive(), ObstacleStage()
    view = View(drive.camera, drive.pose.matrix(), "base_link")
    detecting, placing = Clock(), Clock()
    scenes = []
    for index in range(frames):
        frame = drive.frame(index * len(drive) // frames)
        detection = detecting.run(detect, detector, frame.image)
        found = stage.find(detection, detection.score, frame.time_s, settings.obstacles)
        placements = placing.run(place, found.regions, view)
        result = SimpleNamespace(
            frame=SimpleNamespace(message=SimpleNamespace(header=Header())),
            detection=detection,
            refined=SimpleNamespace(score=detection.score),
        )
        scenes.append((result, found, placements))
    outputs = [*PLANES, *detection_messages.kinds()]

    def ms(wanted: set[str]) -> float:
        sent: list[Any] = []
        poses: Any = None  # no scan.frame to look up
        made = PlannerOutputs(
            "",
            lambda: values,
            lambda: detector.threshold,
            poses,
            lambda key, text: None,
            wanted.__contains__,
            lambda output, message: sent.append(message),
        )
        clock = Clock()
        for result, found, placements in scenes:  # the first makes the beams
            clock.run(made.publish, result, found, view, placements)
        return clock.ms

    obstacles = np.mean([len(found.regions) for _, found, _ in scenes])
    print(f"{frames} frames of 640x360, {obstacles:.1f} obstacles each, one thread")
    for output in outputs:
        print(f"{output:>12}: {ms({output}):6.2f} ms")
    total, detector_ms = ms(set(outputs)), detecting.ms
    print(
        f"{'all':>12}: {total:6.2f} ms, {total / detector_ms:.3f} of the detector; the limit is 3"
    )
    print(f"{'placement':>12}: {placing.ms:6.2f} ms, for ~/obstacles as well")
    print(f"{'detector':>12}: {detector_ms:6.2f} ms")


class Clock:
    """Mean processor time of calls."""

    def __init__(self) -> None:
        self._taken: list[float] = []

    def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Call and time `work`."""
        began = time.process_time()
        result = work(*arguments)
        self._taken.append(time.process_time() - began)
        return result

    @property
    def ms(self) -> float:
        """Mean of all calls but the first, in milliseconds."""
        return 1000 * sum(self._taken[1:]) / max(1, len(self._taken) - 1)


if __name__ == "__main__":
    from tools.command import run

    run(main)
