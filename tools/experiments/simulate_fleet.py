"""How a fleet of 1 to 256 workers does a set of recordings: costs measured, then simulated.

    scripts/env python -m tools.experiments.simulate_fleet [DRIVE] [--recordings 100]

First `objectomaly bag` processes DRIVE (default: clip_dev) in this process, and the seconds and
bytes a frame of its three kinds of tasks are measured: scan, segment, assembly. Then recordings
with as many frames as wanted are done by simulated workers: every task takes its measured time, or
until the common disk, which serves one task after the other, has moved its bytes. Workers die at
random; their task is repeated by another, and they come back after `--restart` seconds.

For each number of workers: hours, speed-up over one worker, efficiency, and the share of the work
that was lost with dead workers. docs/fleets.md has the model.
"""

from __future__ import annotations

import heapq
import itertools
import os
import random
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from objectomaly_ros.files.writing import bytes_at
from objectomaly_ros.offline.job import Job
from objectomaly_ros.offline.plan import SEGMENT_FRAMES
from objectomaly_ros.offline.tasks import Assembly, Place, Scan, Segment, Worker
from tools import SHARED
from tools.command import parser, run
from tools.labelled import names

WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SCAN, _SEGMENT, _ASSEMBLY = range(3)


@dataclass(frozen=True)
class Cost:
    """What one frame takes of a kind of task: seconds of a core, and bytes of the common disk."""

    seconds: float
    bytes: float


@dataclass(frozen=True)
class Fleet:
    """Workers and their common disk.

    Attributes:
        workers: number of cores.
        disk: bytes a second of the disk that they share.
        lifetime: mean seconds until a worker dies; infinite for never.
        restart: seconds until a dead worker is back, with its models loaded.
    """

    workers: int
    disk: float = float("inf")
    lifetime: float = float("inf")
    restart: float = 60.0


def measure(path: Path, out: Path, job: Job) -> tuple[Cost, Cost, Cost]:
    """Process a recording in this process; return the costs of scan, segment and assembly."""
    place, worker = Place(path, "drive", out), Worker(job)
    seconds = [0.0, 0.0, 0.0]

    def timed(kind: int, task: Any) -> Any:
        began = time.perf_counter()
        value = worker.perform(task)
        seconds[kind] += time.perf_counter() - began
        return value

    streams = timed(_SCAN, Scan(place))
    for stream, segments in enumerate(streams):
        for number in range(len(segments)):
            timed(_SEGMENT, Segment(place, stream, number))
    parts = sum(map(bytes_at, place.state.glob("part-*")))
    timed(_ASSEMBLY, Assembly(place, tuple(map(len, streams))))
    worker.close()
    frames, source, result = sum(map(sum, streams)), bytes_at(path), bytes_at(place.bag)
    sizes = (source, source + parts, parts + result)
    scan, segment, assembly = (
        Cost(s / frames, size / frames) for s, size in zip(seconds, sizes, strict=True)
    )
    return scan, segment, assembly


def simulate(
    recordings: Sequence[int], costs: tuple[Cost, Cost, Cost], fleet: Fleet, seed: int = 0
) -> tuple[float, float]:
    """Do recordings of so many frames each.

    Returns:
        seconds until all are done, and the share of the workers' busy time that was lost.
    """
    chance = random.Random(seed)
    waiting = tuple(deque[tuple[int, int]]() for _ in costs)  # by kind: recording, frames
    waiting[_SCAN].extend(enumerate(recordings))
    left = [0] * len(recordings)
    events: list[tuple[float, int, tuple[int, int, int] | None, bool]] = []
    order, idle = itertools.count(), fleet.workers
    now = disk_s = lost = worked = 0.0
    done = 0
    while done < len(recordings):
        while idle and (kind := _urgent(waiting)) is not None:
            recording, frames = waiting[kind].popleft()
            idle -= 1
            cost = costs[kind]
            disk_s = max(disk_s, now) + frames * cost.bytes / fleet.disk
            length = max(frames * cost.seconds, disk_s - now)
            life = chance.expovariate(1.0) * fleet.lifetime
            dies = life < length
            spent = min(life, length)
            worked += spent
            lost += spent * dies
            heapq.heappush(events, (now + spent, next(order), (kind, recording, frames), dies))
        now, _, task, dies = heapq.heappop(events)
        if task is None:  # a worker is back
            idle += 1
            continue
        kind, recording, frames = task
        if dies:
            waiting[kind].appendleft((recording, frames))
            heapq.heappush(events, (now + fleet.restart, next(order), None, False))
            continue
        idle += 1
        if kind == _SCAN:
            sizes = [min(SEGMENT_FRAMES, frames - n) for n in range(0, frames, SEGMENT_FRAMES)]
            waiting[_SEGMENT].extend((recording, size) for size in sizes)
            left[recording] = len(sizes)
        elif kind == _SEGMENT:
            left[recording] -= 1
            if not left[recording]:
                waiting[_ASSEMBLY].append((recording, recordings[recording]))
        else:
            done += 1
    return now, lost / worked


def _urgent(waiting: Sequence[deque[tuple[int, int]]]) -> int | None:
    """Return the most urgent kind of task, as `offline/pool.py` has them."""
    return next((kind for kind in (_ASSEMBLY, _SEGMENT, _SCAN) if waiting[kind]), None)


def main() -> None:
    """Measure, simulate, and print the table."""
    clip = SHARED / "data" / "street_ood" / "clip_dev"
    p = parser(__doc__)
    p.add_argument("drive", nargs="?", type=Path, help="a recording; default: images of clip_dev")
    p.add_argument("--recordings", type=int, default=100)
    p.add_argument("--frames", type=int, default=9000, help="of each recording")
    p.add_argument("--disk", type=float, default=500.0, help="MB a second that all workers share")
    p.add_argument("--lifetime", type=float, default=24.0, help="mean hours until a worker dies")
    p.add_argument("--restart", type=float, default=60.0, help="seconds until it is back")
    p.add_argument("--masks", default="regions", help="as of objectomaly bag")
    args = p.parse_args()
    if args.drive is None:
        names(clip)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as the workers have it
    with tempfile.TemporaryDirectory() as folder:
        job = Job(masks=args.masks)
        costs = measure(args.drive or clip / "images", Path(folder) / "out", job)
    for name, cost in zip(("scan", "segment", "assembly"), costs, strict=True):
        print(f"{name:9s} {1e3 * cost.seconds:8.2f} ms a frame  {cost.bytes / 1e3:8.1f} kB a frame")
    recordings = [args.frames] * args.recordings
    alone = 0.0
    print(f"\n{'workers':>7s} {'hours':>8s} {'speed-up':>8s} {'efficiency':>10s} {'lost':>6s}")
    for workers in WORKERS:
        fleet = Fleet(workers, 1e6 * args.disk, 3600 * args.lifetime, args.restart)
        seconds, lost = simulate(recordings, costs, fleet)
        alone = alone or seconds
        speed = alone / seconds
        print(
            f"{workers:7d} {seconds / 3600:8.2f} {speed:8.1f} {speed / workers:10.0%} {lost:6.1%}"
        )


if __name__ == "__main__":
    run(main)
