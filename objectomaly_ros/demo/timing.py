"""Reads which frames came out, when, and how long they took."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from objectomaly_ros.bags.compact import header_stamp_ns
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.demo.replay import NODE
from objectomaly_ros.files.writing import open_replacing

STAGES = ("queue_wait", "coarse", "propagation", "oasc", "mbp")
TIMES = ("coarse_latency", "latency", "end_to_end", *STAGES, "mask_generation")


@dataclass(frozen=True)
class FrameTiming:
    """The times of one image, from its ~/status; seconds.

    Attributes:
        stamp_ns: of the image.
        latency: from its arrival in the node to publication.
        end_to_end: from the recorder's receipt of the image to its receipt of the score; NaN if
            either is missing.
        queue_wait, coarse, propagation, oasc, mbp: the stages.
        mask_generation: the last generation, which runs beside; NaN before the first.
        refined: whether there were masks.
        mask_count: how many.
        mask_age_frames: their age; -1 without masks.
    """

    stamp_ns: int
    latency: float
    end_to_end: float
    queue_wait: float
    coarse: float
    propagation: float
    oasc: float
    mbp: float
    mask_generation: float
    refined: bool
    mask_count: int
    mask_age_frames: int

    @property
    def coarse_latency(self) -> float:
        """From the image's arrival in the node to its coarse score."""
        return self.queue_wait + self.coarse


@dataclass(frozen=True)
class Timing:
    """The timing of a replay.

    Attributes:
        frames: one for every ~/status of an image.
        received: messages recorded by topic.
        counters: the node's own totals: received, scored, dropped, rejected.
        adapted: how the detector was made quicker because it did not keep up; empty if it was not.
        rate_in_hz: images a second, by their stamps.
        rate_out_hz: ~/score messages a second, by the time of recording.
    """

    frames: tuple[FrameTiming, ...]
    received: dict[str, int]
    counters: dict[str, int]
    adapted: str
    rate_in_hz: float
    rate_out_hz: float

    def percentile(self, field: str, percent: float) -> float:
        """Return a percentile of a field of the frames, in seconds; NaN if there is no value."""
        values = np.array([getattr(frame, field) for frame in self.frames], float)
        values = values[np.isfinite(values)]
        return float(np.percentile(values, percent)) if values.size else float("nan")

    def save_csv(self, path: Path) -> None:
        """Write a row for every frame; times in milliseconds."""
        with open_replacing(path, "w", newline="") as out:
            table = csv.writer(out)
            names = [f"{name}_ms" for name in TIMES]
            table.writerow(["stamp_s", *names, "refined", "mask_count", "mask_age_frames"])
            for frame in self.frames:
                times = [f"{1e3 * getattr(frame, name):.2f}" for name in TIMES]
                rest = [int(frame.refined), frame.mask_count, frame.mask_age_frames]
                table.writerow([f"{frame.stamp_ns / 1e9:.6f}", *times, *rest])


def read_timing(result: Bag, image_topic: str) -> Timing:
    """Read the timing of a replay from the bag of its results."""
    topics = result.topics
    score, status = f"{NODE}/score", f"{NODE}/status"
    arrived: dict[str, dict[int, int]] = {image_topic: {}, score: {}}
    statuses: list[Any] = []
    for raw in result.messages([name for name in (*arrived, status) if name in topics]):
        if raw.topic == status:
            message = result.decode(raw)
            if np.isfinite(message.latency):  # else it tells that images are missing
                statuses.append(message)
        else:
            arrived[raw.topic][header_stamp_ns(raw.data)] = raw.log_time
    names = ("received", "scored", "dropped", "rejected")
    counters = {name: int(getattr(statuses[-1], f"frames_{name}")) for name in names if statuses}
    return Timing(
        frames=tuple(_frame(message, arrived[image_topic], arrived[score]) for message in statuses),
        received={topic.name: topic.count for topic in topics.values()},
        counters=counters or dict.fromkeys(names, 0),
        adapted=str(statuses[-1].detector_adapted) if statuses else "",
        rate_in_hz=_rate(list(arrived[image_topic])),
        rate_out_hz=_rate(list(arrived[score].values())),
    )


def _frame(message: Any, images: dict[int, int], scores: dict[int, int]) -> FrameTiming:
    stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
    both = stamp in images and stamp in scores
    return FrameTiming(
        stamp_ns=stamp,
        latency=float(message.latency),
        end_to_end=(scores[stamp] - images[stamp]) / 1e9 if both else float("nan"),
        queue_wait=float(message.queue_wait),
        coarse=float(message.coarse_time),
        propagation=float(message.propagation_time),
        oasc=float(message.oasc_time),
        mbp=float(message.mbp_time),
        mask_generation=float(message.mask_generation_time),
        refined=bool(message.refined),
        mask_count=int(message.mask_count),
        mask_age_frames=int(message.mask_age_frames),
    )


def _rate(times_ns: list[int]) -> float:
    span = (max(times_ns, default=0) - min(times_ns, default=0)) / 1e9
    return (len(times_ns) - 1) / span if span > 0 else float("nan")


def why_unrefined(timing: Timing, node_log: str) -> str | None:
    """Return why masks refined no score; None if they refined one.

    Args:
        timing: of the replay.
        node_log: the log of the node, which has the reason if it gave a warning of masks.
    """
    if any(frame.refined for frame in timing.frames):
        return None
    told = [
        line.partition("]: ")[2] or line
        for line in node_log.splitlines()
        if "mask" in line and ("[WARN]" in line or "[ERROR]" in line)
    ]
    if told:
        return f"the node says: {told[-1]}"
    if any(np.isfinite(frame.mask_generation) for frame in timing.frames):
        if any(frame.mask_age_frames >= 0 for frame in timing.frames):
            return "the masks came later than refine.max_age_s after their image"
        return "the first masks came after the last image"
    return (
        "no masks were ready before the recording ended; it is too short for their generation, "
        "unless it is replayed slower (make demo RATE=0.2)"
    )
