"""Recordings to process: a red box drives over a grey road between coloured blocks."""

from __future__ import annotations

import numpy as np

from objectomaly_ros.offline.job import Job
from objectomaly_ros.offline.tasks import Assembly, Place, Scan, Segment, Worker

START = 1_700_000_000_000_000_000
STEP = 100_000_000
SIZE = (72, 96)


def picture(index, size=SIZE):
    """A red box that moves to the right, 2 pixels an image, before still blocks."""
    height, width = size
    random = np.random.default_rng(1)
    blocks = random.integers(90, 120, (height // 8, width // 8, 1), np.uint8)
    image = np.kron(blocks, np.ones((8, 8, 3), np.uint8))
    x = 4 + 2 * index % (width - 24)
    image[40:56, x : x + 16] = (230, 40, 30)
    noise = np.random.default_rng(index).integers(0, 12, image.shape, np.uint8)
    return image + noise


def job(**options):
    """A quick job: redness as the score."""
    chosen = {"detector": "simple_models:RednessDetector", "roi": "none", "min_area": 20}
    return Job(**(chosen | options))


def process(path, out, the_job, segment_frames=10, name="drive"):
    """Process one recording in this process; return its place."""
    place = Place(path, name, out)
    worker = Worker(the_job, segment_frames)
    streams = worker.perform(Scan(place))
    for stream, segments in enumerate(streams):
        for number in reversed(range(len(segments))):
            worker.perform(Segment(place, stream, number))
    worker.perform(Assembly(place, tuple(len(segments) for segments in streams)))
    worker.close()
    return place


def contents(folder):
    """The bytes of the files of a folder, by name."""
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
