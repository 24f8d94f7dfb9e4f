"""Measure the node's processor time per frame against that of its detector alone.

    scripts/env python -m tools.benchmarks.frame_cost               # 20 s at 5 Hz, 640x360
    scripts/env python -m tools.benchmarks.frame_cost --rate 10

Frames of the demo's drive are published to a real node, whose ~/score, ~/mask and ~/obstacles are
subscribed. Before and after, the detector scores the same frames at the same pace in a process of
its own. Run it on a quiet machine.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from objectomaly_ros.demo.drive.render import RenderedDrive
from objectomaly_ros.types import Image
from tools.benchmarks.node_run import running_node
from tools.command import parser, run
from tools.processes import descendants, processor_s

PICTURES = 50
ALONE = """
import sys, time
import numpy as np
from objectomaly_ros.runtime.environment import set_defaults
set_defaults()
from objectomaly_ros.detectors import detect
from objectomaly_ros.ros.loading import load_detector
from objectomaly_ros.ros.parameters import SPECS
values = {spec.name: spec.default for spec in SPECS}
detector = load_detector({**values, "device": "cpu"}, "cpu")
images = np.load(sys.argv[1])
for image in images[:10]:
    detect(detector, image)
period_s, taken, due = float(sys.argv[2]), 0.0, time.monotonic()
for image in images:
    due += period_s
    time.sleep(max(0.0, due - time.monotonic()))
    began = time.process_time()
    detect(detector, image)
    taken += time.process_time() - began
print(1000 * taken / len(images))
"""


def detector_ms(path: Path, rate: float) -> float:
    """Return milliseconds of processor time that the detector takes for an image of a file."""
    command = [sys.executable, "-c", ALONE, str(path), str(1 / rate)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def node_ms(images: list[Image], rate: float, seconds: float) -> dict[str, float]:
    """Return milliseconds of processor time per frame of the node and of its mask process."""
    import array

    from objectomaly_ros.msg import ObstacleArray
    from sensor_msgs.msg import Image as ImageMessage

    received = {"score": 0, "mask": 0, "obstacles": 0}

    def count(topic: str) -> Any:
        def take(message: Any) -> None:
            received[topic] += 1

        return take

    with running_node("frame_cost", ["device:=cpu"]) as node:
        for topic, kind in (
            ("score", ImageMessage),
            ("mask", ImageMessage),
            ("obstacles", ObstacleArray),
        ):
            path = f"/objectomaly/{topic}"
            node.checker.create_subscription(kind, path, count(topic), 10, raw=True)
        publisher = node.checker.create_publisher(ImageMessage, "image", 10)
        node.wait_until(publisher.get_subscription_count)
        messages = []
        for image in images:
            height, width = image.shape[:2]
            message = ImageMessage(height=height, width=width, encoding="rgb8", step=3 * width)
            message.header.frame_id = "camera"
            message.data = array.array("B", image.tobytes())
            messages.append(message)

        def play(seconds: float) -> None:
            began, count = time.monotonic(), round(seconds * rate)
            for k in range(count):
                while (wait := began + k / rate - time.monotonic()) > 0:
                    node.executor.spin_once(timeout_sec=wait)
                stamp = time.time_ns()
                message = messages[k % len(messages)]
                message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
                publisher.publish(message)
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                node.executor.spin_once(timeout_sec=0.1)

        play(5.0)
        pids = {"node": node.process.pid}
        pids.update(("mask process", pid) for pid in descendants(node.process.pid))
        before, scores = {name: processor_s(pid) for name, pid in pids.items()}, received["score"]
        play(seconds)
        frames = received["score"] - scores
        after = {name: processor_s(pid) for name, pid in pids.items()}
        print(f"{frames} of {round(seconds * rate)} frames scored, received {received}")
        node.interrupt()
    return {name: 1000 * (after[name] - before[name]) / frames for name in pids}


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--rate", type=float, default=5.0, help="images a second")
    options.add_argument("--seconds", type=float, default=20.0)
    arguments = options.parse_args()
    drive = RenderedDrive()
    images = [drive.frame(k).image for k in range(PICTURES)]
    images += images[::-1]
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, np.stack(images))
        file.flush()
        alone = [detector_ms(Path(file.name), arguments.rate)]
        node = node_ms(images, arguments.rate, arguments.seconds)
        alone.append(detector_ms(Path(file.name), arguments.rate))
    print(f"the detector alone: {alone[0]:.1f} and {alone[1]:.1f} ms of processor time per frame")
    for name, ms in node.items():
        print(f"the {name}: {ms:.1f} ms per frame, {ms / np.mean(alone):.2f} times the detector")


if __name__ == "__main__":
    run(main)
