"""Scores and refines one segment of a stream, and writes the results as a bag of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from objectomaly_ros.bags.writer import BagWriter
from objectomaly_ros.detectors import detect
from objectomaly_ros.files.writing import open_replacing
from objectomaly_ros.geometry.placement import place
from objectomaly_ros.obstacles.extraction import find_regions, obstacle_mask
from objectomaly_ros.obstacles.roi import road_roi
from objectomaly_ros.obstacles.stage import MOST_REGIONS, Obstacles
from objectomaly_ros.offline.block import Frame, Keyframe, Refined
from objectomaly_ros.offline.cameras import Views
from objectomaly_ros.offline.job import NO_MASKS, Models
from objectomaly_ros.offline.outputs import Outputs
from objectomaly_ros.offline.plan import Plan
from objectomaly_ros.offline.planner import MAX_RANGE_M, MAX_RELATIVE_ERROR
from objectomaly_ros.offline.recording import Picture, Recording
from objectomaly_ros.runtime.log_text import describe
from objectomaly_ros.types import ScoreMap


@dataclass
class Rows:
    """What is known of the frames of a segment, to be read before its messages.

    Attributes:
        index: of each readable frame in the plan.
        anomaly: the score that `min_area` pixels of its region of interest reach.
        unreadable: number of images that are left out.
        problem: why the first of them is; empty if none is.
        ranges: why ranges are unknown; empty if they are known, or without CameraInfo.
    """

    index: list[int] = field(default_factory=list)
    anomaly: list[float] = field(default_factory=list)
    unreadable: int = 0
    problem: str = ""
    ranges: str = ""

    def skip(self, problem: str) -> None:
        """Count an image that is left out."""
        self.unreadable += 1
        self.problem = self.problem or problem


class _Group(NamedTuple):
    """Readable frames in a row of one block and one size."""

    block: int
    frames: list[Frame]


def write_segment(
    recording: Recording,
    plan: Plan,
    number: int,
    models: Models,
    outputs: Outputs,
    views: Views,
    path: Path,
    progress: Callable[[int], None] = lambda count: None,
) -> Rows:
    """Process segment `number` of a plan.

    The frames up to the next keyframe after the segment are read, too, if its masks are needed, so
    that the result is that of the whole stream.

    Args:
        recording: of the plan.
        plan: of one of its streams.
        number: of the segment, from 0.
        models: to use.
        outputs: makes the messages.
        views: of the images.
        path: the bag to write; `path` + ".json" tells of its frames, see `Rows`.
        progress: is told the number of frames that are done.

    Raises:
        BagError: the recording cannot be read, or the bag cannot be written.
        OSError: the disk is full.
    """
    first, last = plan.segments[number], plan.segments[number + 1]
    rows = Rows()
    with BagWriter(path, whole=True) as writer:
        outputs.announce(writer)
        for refined in _refined(recording, plan, first, last, models, rows):
            _write(writer, refined, plan, models, outputs, views, rows)
            progress(1)
        rows.ranges = views.problem or ""
        with open_replacing(path.with_name(path.name + ".json"), "w", encoding="utf-8") as file:
            json.dump(vars(rows), file)
    return rows


def read_rows(path: Path) -> Rows:
    """Read the rows of a segment from beside its bag.

    Raises:
        OSError, ValueError, TypeError: there are none, or they are damaged.
    """
    return Rows(**json.loads(path.with_name(path.name + ".json").read_text(encoding="utf-8")))


def _refined(
    recording: Recording, plan: Plan, first: int, last: int, models: Models, rows: Rows
) -> Iterator[Refined]:
    """Yield the refined frames of a segment."""
    groups = _groups(recording, plan, first, last, models, rows)
    group = next(groups, None)
    before: Keyframe | None = None
    while group is not None and group.frames[0].index < last:
        key = group.frames[0]
        if before is None or before.frame.index != key.index:
            before = _keyframe(key, models, rows)
        following = next(groups, None)
        after = None
        if before is not None and following is not None and _continues(plan, group, following):
            after = _keyframe(following.frames[0], models, rows)
        yield from models.refiner.refine(group.frames, before, after)
        group, before = following, after


def _keyframe(frame: Frame, models: Models, rows: Rows) -> Keyframe | None:
    try:
        return models.refiner.keyframe(frame)
    except Exception as error:  # a user's generator may raise anything
        raise_if_out_of_memory(error)
        rows.problem = rows.problem or f"masks could not be made: {describe(error)}"
        return None


def _continues(plan: Plan, group: _Group, following: _Group) -> bool:
    """Tell whether the masks of the following group fit the frames of this one."""
    last, first = group.frames[-1], following.frames[0]
    return bool(
        following.block <= group.block + 1
        and plan.runs[last.index] == plan.runs[first.index]
        and last.image.shape == first.image.shape
    )


def _groups(
    recording: Recording, plan: Plan, first: int, last: int, models: Models, rows: Rows
) -> Iterator[_Group]:
    """Yield the groups of a segment, and the beginning of the one after it."""
    beyond = last
    if last < len(plan.blocks) and models.job.masks != NO_MASKS:
        beyond = int(np.searchsorted(plan.blocks, plan.blocks[last], "right"))
    group: _Group | None = None
    for index, picture in enumerate(recording.pictures(plan.stream[first:beyond]), start=first):
        if index >= last and (group is None or len(group.frames) == 1):
            break  # a keyframe alone needs no masks of a later one
        frame = _scored(index, picture, plan, models)
        if isinstance(frame, str):
            if index < last:
                rows.skip(frame)
            continue
        block = int(plan.blocks[index])
        if (
            group is None
            or block != group.block
            or frame.image.shape != group.frames[0].image.shape
        ):
            if group is not None:
                yield group
            group = _Group(block, [])
        group.frames.append(frame)
        if index >= last:
            break
    if group is not None:
        yield group


def _scored(index: int, picture: Picture, plan: Plan, models: Models) -> Frame | str:
    """Return the frame of a picture, or why there is none."""
    stamp = int(plan.stream.stamps[index])
    if not 0 <= stamp < 2**31 * 1_000_000_000:
        return f"its stamp of {stamp} ns is outside 0 to 2^31 s"
    if isinstance(picture.image, str):
        return picture.image
    try:
        detection = detect(models.detector, picture.image)
    except Exception as error:  # a user's detector may raise anything, and succeed on the next
        raise_if_out_of_memory(error)
        return f"the detector failed: {describe(error)}"
    return Frame(index, float(plan.times[index]), picture.image, picture.frame_id, detection)


def raise_if_out_of_memory(error: Exception) -> None:
    """Raise a MemoryError for that of the host or of a GPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        raise MemoryError(str(error)) from error


def _write(
    writer: BagWriter,
    refined: Refined,
    plan: Plan,
    models: Models,
    outputs: Outputs,
    views: Views,
    rows: Rows,
) -> None:
    frame, score, settings = refined.frame, refined.score, models.settings
    road = frame.detection.road if settings.roi == "road" else None
    roi = None if road is None else road_roi(road)
    mask = obstacle_mask(score, settings.high, min_area=settings.min_area, roi=roi)
    regions = find_regions(mask, score, limit=MOST_REGIONS)
    numbers = list(range(1, len(regions) + 1))  # and no ages, until the segments are joined
    obstacles = Obstacles(mask, roi, regions, numbers, [0] * len(regions))
    log_time, stamp = (
        int(times[frame.index]) for times in (plan.stream.log_times, plan.stream.stamps)
    )
    view = views.view(frame.frame_id, *frame.image.shape[:2])
    placements = []
    if view is not None:
        placements = place(
            regions, view, max_range=MAX_RANGE_M, max_relative_error=MAX_RELATIVE_ERROR
        )
    outputs.write(writer, refined, obstacles, placements, view, stamp, log_time)
    rows.index.append(frame.index)
    rows.anomaly.append(_anomaly(score if roi is None else score[roi], settings.min_area))


def _anomaly(scores: ScoreMap, pixels: int) -> float:
    """Return the score that so many pixels reach."""
    place = min(max(pixels, 1), scores.size)
    return float(np.partition(scores, -place, axis=None)[-place])
