"""A run over many recordings: what is left to do, who does it, and what came of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.offline.job import Job
from objectomaly_ros.offline.plan import SEGMENT_FRAMES
from objectomaly_ros.offline.pool import Event, Pool
from objectomaly_ros.offline.ray_pool import RayPool
from objectomaly_ros.offline.remote import Listing, base_name, listings
from objectomaly_ros.offline.state import (
    OWN_FILES,
    check_options,
    claim,
    has_changed,
    locked,
    source,
    take_over,
)
from objectomaly_ros.offline.tasks import STATE, Assembly, Place, Scan, Segment, Task, clean
from objectomaly_ros.offline.worker_process import reason

_LONGEST_NAME = 200  # bytes; a file system allows 255, with the endings of files


@dataclass
class Report:
    """What came of a run.

    Attributes:
        done: the recordings that are whole, in the given order.
        failed: why the others are not.
        warnings: what else happened.
    """

    done: list[Place] = field(default_factory=list)
    failed: dict[Place, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass
class _Work:
    """What is left of a recording.

    Attributes:
        segments: number of each stream.
        frames: of the segments that are not done, those that the progress does not count yet.
    """

    segments: tuple[int, ...] = ()
    frames: dict[Task, int] = field(default_factory=dict)


def run(
    paths: Sequence[Path | str],
    out: Path,
    job: Job,
    workers: int,
    *,
    progress: Callable[[int, int], None] = lambda frames, total: None,
    copied: Callable[[int], None] = lambda count: None,
    segment_frames: int = SEGMENT_FRAMES,
    ray: str | None = None,
    target: str = "",
) -> Report:
    """Process recordings; what an earlier run into the same folder has done is kept.

    Args:
        paths: the recordings; a str is a URL.
        out: folder of the results, one bag for each recording.
        job: the options.
        workers: number of processes.
        progress: is told of frames that are done, and of frames that are newly known of.
        copied: is told of bytes of remote recordings that are copied.
        segment_frames: see `make_plan`.
        ray: address of the Ray cluster whose cores are the workers; None for this machine's.
        target: URL that results are moved to as soon as they are whole; empty to leave them in
            `out`. What is done there, also from another machine, is kept.

    Raises:
        BagError: the folder holds results of other options or recordings, or another run is busy
            there.
        WorkerError: nothing can go on: the models do not load, the disk is full, or there is no
            cluster.
        ImportError: Ray is not installed, or what `target` needs.
        OSError: the folder cannot be written.
    """
    seen = listings(path for path in paths if isinstance(path, str))
    folders = {url for url, found in seen.items() if isinstance(found, Listing) and found.folder}
    places = [
        Place(path, name, out, target=target)
        if isinstance(path, Path)
        else Place(out / STATE / name / "copy" / base_name(path), name, out, path, target)
        for path, name in zip(paths, names(paths, folders), strict=True)
    ]
    report = Report()
    workforce = (
        Pool(job, workers, segment_frames) if ray is None else RayPool(job, ray, segment_frames)
    )
    with locked(out, places), workforce as pool:
        if target:
            take_over(target, out)
        check_options(out, job, pool.start(), target)
        work: dict[Place, _Work] = {}
        for place in places:
            try:
                claim(place, source(place, seen))
            except (BagError, OSError) as error:
                report.failed[place] = reason(error)
                continue
            if place.finished:
                clean(place)  # the run may have been killed just before
            else:
                work[place] = _Work()
                pool.add(Assembly(place, ()) if place.joined else Scan(place))
        for event in pool.events():
            if event.copied:
                copied(event.copied)
            _handle(event, pool, work, report, progress)
    for place in report.failed:
        shutil.rmtree(place.copies, ignore_errors=True)
    report.done = [place for place in places if place not in report.failed]
    return report


def names(paths: Sequence[Path | str], folders: Collection[str] = ()) -> list[str]:
    """Return a name for each recording, from its file: a.mcap becomes a, a second one a_2.

    A name is UTF-8 and leaves room for endings; none is that of a file of the run itself.

    Args:
        paths: the recordings.
        folders: those of the URLs that are folders, whose names have no ending.
    """
    found: list[str] = []
    for path in paths:
        if isinstance(path, Path):
            name, folder = path.absolute().name, path.is_dir()
        else:
            name, folder = base_name(path), path in folders
        stem = name if folder else name.removesuffix(".zstd").rpartition(".")[0]
        stem = (stem or name).lstrip(".") or "recording"
        stem = os.fsencode(stem)[:_LONGEST_NAME].decode("utf-8", "replace")
        candidates = (stem if n == 1 else f"{stem}_{n}" for n in range(1, len(paths) + 3))
        found.append(next(name for name in candidates if name not in (*found, *OWN_FILES)))
    return found


def _handle(
    event: Event,
    pool: Pool | RayPool,
    work: dict[Place, _Work],
    report: Report,
    progress: Callable[[int, int], None],
) -> None:
    task, place = event.task, event.task.place
    left = work[place]
    if event.warning is not None:
        report.warnings.append(f"{place.given}: {event.warning}")
    if event.problem is not None:
        report.failed.setdefault(place, event.problem)
        pool.drop(place)
        progress(0, -sum(left.frames.values()))
        left.frames.clear()
    if task in left.frames:
        # A worker that died has told of some, and nobody tells of images that are left out.
        known = left.frames[task]
        count = known if event.ended else min(event.frames, known)
        left.frames[task] -= count
        progress(count, 0)
    if not event.ended or place in report.failed:
        return
    left.frames.pop(task, None)
    if isinstance(task, Scan):
        left.segments = tuple(len(frames) for frames in event.value)
        left.frames = {
            Segment(place, stream, number): frames
            for stream, segments in enumerate(event.value)
            for number, frames in enumerate(segments)
            if not place.part(stream, number).exists()
        }
        progress(0, sum(left.frames.values()))
        for segment in left.frames:
            pool.add(segment)
    if isinstance(task, Assembly) or left.frames:
        return
    if has_changed(place):
        report.failed[place] = (
            f"{place.given} has changed since the run began: start it again when nothing writes "
            "to the recording any more"
        )
    else:
        pool.add(Assembly(place, left.segments))
