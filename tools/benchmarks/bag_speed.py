"""Measure `objectomaly bag` against a plain loop over `Objectomaly.refine` on the same recording.

    scripts/env python -m tools.benchmarks.bag_speed                    # 1,000 frames of 640x360
    scripts/env python -m tools.benchmarks.bag_speed --frames 60 --json

The recording is the demo's drive as a bag of JPEG images. Each way runs in a process of its own,
one after the other: seconds a frame on the clock, seconds of processor time a frame (worker
processes included), and the peak memory of the largest process. The plain loop reads the images,
refines each on one thread as the workers do, and keeps nothing. Run it on a quiet machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tools.command import parser, run

PICTURES = 100
"""Frames that are rendered; longer recordings go through them back and forth."""

PLAIN = """
import sys
from objectomaly_ros.runtime.environment import set_defaults
set_defaults()
import cv2
cv2.setNumThreads(1)
from objectomaly_ros import Objectomaly
from objectomaly_ros.bags.images import read_images
from objectomaly_ros.detectors import load_detector
from objectomaly_ros.masks import load_mask_generator
pipeline = Objectomaly(load_detector("embedded"), load_mask_generator("regions"))
for frame in read_images(sys.argv[1]):
    if sys.argv[2] == "refined":
        pipeline.refine(frame.array)
    else:
        pipeline.coarse(frame.array)
"""


@dataclass(frozen=True)
class Cost:
    """What a way costs: seconds a frame, on the clock and of all processors; peak memory in MB."""

    way: str
    wall_s: float
    cpu_s: float
    memory_mb: float


def measure(way: str, command: list[str], frames: int) -> Cost:
    """Run a command to its end.

    Raises:
        ValueError: it failed.
    """
    began = time.monotonic()
    process = subprocess.Popen(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ValueError(f"{way} ended with code {process.returncode}")
    wall = time.monotonic() - began
    cpu = used.ru_utime + used.ru_stime
    return Cost(way, wall / frames, cpu / frames, used.ru_maxrss / 1024)


def make_recording(folder: Path, frames: int) -> None:
    """Render the drive's first frames, and write the recording."""
    import cv2

    from objectomaly_ros.bags.make import write_frames_bag
    from objectomaly_ros.demo.drive.render import RenderedDrive

    drive = RenderedDrive()
    files = []
    for index in range(min(frames, PICTURES)):
        file = folder / f"{index:03}.jpg"
        cv2.imwrite(str(file), drive.frame(index).image[..., ::-1])
        files.append(file)
    there_and_back = [*files, *files[-2:0:-1]] or files
    order = [there_and_back[index % len(there_and_back)] for index in range(frames)]
    write_frames_bag(order, folder / "drive", encoding="jpeg", start_ns=0)


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--frames", type=int, default=1000)
    options.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options.add_argument("--render", type=Path, metavar="DIR", help="write the recording alone")
    arguments = options.parse_args()
    if arguments.render is not None:
        make_recording(arguments.render, arguments.frames)
        return
    frames = arguments.frames
    costs = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        # In a process of its own: the peak of a child begins with the size of its parent.
        words = ["--render", str(folder), "--frames", str(frames)]
        subprocess.run([sys.executable, "-m", "tools.benchmarks.bag_speed", *words], check=True)
        bag = folder / "drive"
        python = [sys.executable, "-c", PLAIN, str(bag)]
        command = [sys.executable, "-m", "objectomaly_ros", "bag", str(bag), "--out"]
        ways = {
            "plain loop, refined": [*python, "refined"],
            "bag, 1 worker, refined": [*command, str(folder / "1"), "--workers", "1"],
            "bag, 2 workers, refined": [*command, str(folder / "2"), "--workers", "2"],
            "bag, 1 worker, every image": [
                *(*command, str(folder / "every"), "--workers", "1", "--masks-every", "1")
            ],
            "plain loop, coarse": [*python, "coarse"],
            "bag, 1 worker, coarse": [
                *(*command, str(folder / "coarse"), "--workers", "1", "--masks", "none")
            ],
        }
        for way, words in ways.items():
            costs.append(measure(way, words, frames))
    if arguments.json:
        print(json.dumps({"frames": frames, "costs": [asdict(cost) for cost in costs]}, indent=1))
        return
    print(f"{frames} frames of 640x360{'':5}{'s a frame':>12}{'CPU s':>9}{'peak MB':>9}")
    for cost in costs:
        print(f"{cost.way:30}{cost.wall_s:10.4f}{cost.cpu_s:9.4f}{cost.memory_mb:9.0f}")
    plain, one, two, every = costs[:4]
    print(f"processor time, bag to plain loop: {one.cpu_s / plain.cpu_s:.2f}")
    print(f"the same with masks of every image: {every.cpu_s / plain.cpu_s:.2f}")
    print(f"throughput, 2 workers to 1: {one.wall_s / two.wall_s:.2f}")


if __name__ == "__main__":
    run(main)
