"""A run over many recordings: what is left to do, who does it, and what came of it."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.files.writing import open_replacing
from objectomaly_ros.offline.job import Job
from objectomaly_ros.offline.plan import SEGMENT_FRAMES
from objectomaly_ros.offline.pool import Event, Pool
from objectomaly_ros.offline.ray_pool import RayPool
from objectomaly_ros.offline.tasks import STATE, Assembly, Place, Scan, Segment
from objectomaly_ros.runtime.log_text import describe

_MANIFEST, _SOURCE = "run.json", "source.json"


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
    """What is left of a recording."""

    segments: tuple[int, ...] = ()
    left: int = 0


def run(
    paths: Sequence[Path],
    out: Path,
    job: Job,
    workers: int,
    *,
    progress: Callable[[int, int], None] = lambda frames, total: None,
    segment_frames: int = SEGMENT_FRAMES,
    ray: str | None = None,
) -> Report:
    """Process recordings; what an earlier run into the same folder has done is kept.

    Args:
        paths: the recordings.
        out: folder of the results, one bag for each recording.
        job: the options.
        workers: number of processes.
        progress: is told of frames that are done, and of frames that are newly known of.
        segment_frames: see `make_plan`.
        ray: address of the Ray cluster whose cores are the workers; None for this machine's.

    Raises:
        BagError: the folder holds results of other options or recordings, or another run is busy
            there.
        WorkerError: nothing can go on: the models do not load, the disk is full, or there is no
            cluster.
        ImportError: Ray is not installed.
        OSError: the folder cannot be written.
    """
    places = [Place(path, name, out) for path, name in zip(paths, names(paths), strict=True)]
    report = Report()
    workforce = (
        Pool(job, workers, segment_frames) if ray is None else RayPool(job, ray, segment_frames)
    )
    with _locked(out), workforce as pool:
        _check_options(out, job, pool.start())
        work: dict[Place, _Work] = {}
        for place in places:
            try:
                _claim(place)
            except (BagError, OSError) as error:
                report.failed[place] = describe(error)
                continue
            if not place.finished:
                work[place] = _Work()
                pool.add(Scan(place))
        for event in pool.events():
            _handle(event, pool, work, report, progress)
    report.done = [place for place in places if place not in report.failed]
    return report


def names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each recording, from its file: a.mcap becomes a, a second one a_2."""
    found: list[str] = []
    for path in paths:
        path = path.absolute()
        stem = path.name if path.is_dir() else path.name.removesuffix(".zstd").rpartition(".")[0]
        stem = (stem or path.name).lstrip(".") or "recording"
        candidates = (stem if n == 1 else f"{stem}_{n}" for n in range(1, len(paths) + 2))
        found.append(next(name for name in candidates if name not in found))
    return found


def _handle(
    event: Event,
    pool: Pool | RayPool,
    work: dict[Place, _Work],
    report: Report,
    progress: Callable[[int, int], None],
) -> None:
    task, place = event.task, event.task.place
    if event.warning is not None:
        report.warnings.append(f"{place.path}: {event.warning}")
    if event.frames:
        progress(event.frames, 0)
    if event.problem is not None:
        report.failed.setdefault(place, event.problem)
        pool.drop(place)
    if not event.ended or place in report.failed:
        return
    left = work[place]
    if isinstance(task, Scan):
        left.segments = tuple(len(frames) for frames in event.value)
        wanted = [
            (Segment(place, stream, number), frames)
            for stream, segments in enumerate(event.value)
            for number, frames in enumerate(segments)
            if not place.part(stream, number).exists()
        ]
        progress(0, sum(frames for _, frames in wanted))
        left.left = len(wanted)
        for segment, _ in wanted:
            pool.add(segment)
    elif isinstance(task, Segment):
        left.left -= 1
    if not isinstance(task, Assembly) and not left.left:
        pool.add(Assembly(place, left.segments))


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Hold the folder for this run alone.

    Raises:
        BagError: another run holds it.
        OSError: it cannot be made.
    """
    (out / STATE).mkdir(parents=True, exist_ok=True)
    with (out / STATE / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BagError(
                f"another run is busy in {out}; wait for it, or choose another"
            ) from None
        yield


def _check_options(out: Path, job: Job, identity: str) -> None:
    """Check that the folder is new, or that of a run with the same options.

    Raises:
        BagError: it is not; the message names the options.
    """
    path = out / STATE / _MANIFEST
    options = json.loads(json.dumps(asdict(job)))
    if not path.exists():
        with open_replacing(path, "w", encoding="utf-8") as file:
            json.dump({"identity": identity, "options": options}, file, indent=1)
        return
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        before, same = known["options"], known["identity"] == identity
    except (ValueError, KeyError, TypeError) as error:
        raise BagError(f"{path} is damaged ({error}): remove {out} and begin anew") from error
    if same:
        return
    changes = [
        f"{key} was {before.get(key)}, now {value}"
        for key, value in options.items()
        if before.get(key) != value
    ] or ["a model, its weights or this package has changed"]
    raise BagError(
        f"{out} holds results of another run ({'; '.join(changes)}): choose another folder, or "
        "remove it"
    )


def _claim(place: Place) -> None:
    """Check that the folders of a recording are new, or those of this very recording.

    Raises:
        BagError: there is no recording, or they are of another one, or it has changed since.
        OSError: the recording cannot be looked at.
    """
    if not place.path.exists():
        raise BagError(f"there is no recording at {place.path}")
    source = _source(place.path)
    path = place.state / _SOURCE
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
        if known["path"] != source["path"]:
            raise BagError(
                f"{place.bag} holds the results of {known['path']}: choose another --out"
            )
        if known != source and place.bag.exists():
            raise BagError(
                f"{place.path} has changed since its results were made: remove {place.bag} and "
                f"{place.state} to make them anew"
            )
        if known == source:
            for left in place.state.glob(".*"):  # of writers that were killed
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            return
        shutil.rmtree(place.state)
    elif place.bag.exists():
        raise BagError(f"{place.bag} exists already and is of no run: choose another --out")
    with open_replacing(path, "w", encoding="utf-8") as file:
        json.dump(source, file)


def _source(path: Path) -> dict[str, Any]:
    """Return path, sizes and times of the files of a recording."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    seen = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    return {"path": str(path.absolute()), "files": seen}
