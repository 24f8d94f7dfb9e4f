"""Divides a stream of images into blocks with one keyframe each, and blocks into segments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from objectomaly_ros.files.reading import regular_file
from objectomaly_ros.files.writing import open_replacing
from objectomaly_ros.offline.recording import Stream
from objectomaly_ros.runtime.image_clock import ImageClock, Order

MOST_BLOCK = 60
"""The largest number of images in a block, which are in memory at once."""

LONGEST_S = 2.0
"""A block lasts no longer, as masks are not carried further; so slow cameras get more keyframes."""

SEGMENT_FRAMES = 100
"""A segment holds at least so many images: what is lost if a worker dies."""


@dataclass(frozen=True, eq=False)
class Plan:
    """How the images of a stream are processed; independent of the workers.

    Attributes:
        stream: the images.
        times: (N,) image time in seconds, which never falls within a run.
        blocks: (N,) block of each image, from 0. Its first readable image is its keyframe.
        runs: (N,) run of each image, from 0. A run ends where the stamps jump back.
        segments: first image of each segment, and the number of images; every segment begins with a
            block.
    """

    stream: Stream
    times: npt.NDArray[np.float64]
    blocks: npt.NDArray[np.int64]
    runs: npt.NDArray[np.int64]
    segments: list[int]

    def save(self, path: Path) -> None:
        """Write it."""
        stream = self.stream
        with open_replacing(path) as file:
            np.savez(
                file,
                topic=np.array(stream.topic),
                stamps=np.stack([stream.log_times, stream.stamps, stream.ranks]),
                times=self.times,
                blocks=np.stack([self.blocks, self.runs]),
                segments=np.array(self.segments),
            )

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read it.

        Raises:
            OSError, ValueError, KeyError: there is none, or it is damaged.
        """
        with np.load(regular_file(path), allow_pickle=False) as found:
            stream = Stream(str(found["topic"]), *found["stamps"])
            blocks, runs = found["blocks"]
            return cls(stream, found["times"], blocks, runs, found["segments"].tolist())


def make_plan(stream: Stream, masks_every: int, segment_frames: int = SEGMENT_FRAMES) -> Plan:
    """Plan a stream.

    Args:
        stream: its images.
        masks_every: masks are made on every n-th of them, at most `MOST_BLOCK`.
        segment_frames: see `SEGMENT_FRAMES`; the results do not depend on it.
    """
    clock = ImageClock()
    times = np.zeros(len(stream))
    blocks, runs = np.zeros((2, len(stream)), np.int64)
    segments = [0]
    block = run = begin = 0
    for index, (log_time, stamp) in enumerate(
        zip(stream.log_times.tolist(), stream.stamps.tolist(), strict=True)
    ):
        jump = clock.take(stamp / 1e9, log_time / 1e9) is Order.JUMP
        times[index] = clock.time_s
        run += jump
        if index and (
            jump
            or index - begin >= min(masks_every, MOST_BLOCK)
            or times[index] - times[begin] > LONGEST_S
        ):
            block, begin = block + 1, index
            if index - segments[-1] >= segment_frames:
                segments.append(index)
        blocks[index], runs[index] = block, run
    return Plan(stream, times, blocks, runs, [*segments, len(stream)])


def chosen(stream: Stream, begin_ns: int, start_s: float, end_s: float, every: int) -> Stream:
    """Return every n-th of the images whose log time lies in a span.

    Args:
        stream: all images.
        begin_ns: log time from which the span counts.
        start_s: its beginning in seconds.
        end_s: its end, exclusive.
        every: n.
    """
    seconds = (stream.log_times - begin_ns) / 1e9
    inside = np.flatnonzero((seconds >= start_s) & (seconds < end_s))
    if not len(inside):
        return stream[:0]
    return stream[inside[0] : inside[-1] + 1 : every]
