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
from objectomaly_ros.offline.remote import base_name, download, is_folder, listing, matches, upload
from objectomaly_ros.offline.tasks import STATE, Assembly, Place, Scan, Segment, Task
from objectomaly_ros.offline.worker_process import reason

_MANIFEST = "run.json"


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
        ImportError: Ray is not installed, or what a URL needs.
        OSError: the folder cannot be written.
    """
    places = [
        Place(path, name, out, target=target)
        if isinstance(path, Path)
        else Place(out / STATE / name / "copy" / base_name(path), name, out, path, target)
        for path, name in zip(paths, names(paths), strict=True)
    ]
    report = Report()
    workforce = (
        Pool(job, workers, segment_frames) if ray is None else RayPool(job, ray, segment_frames)
    )
    with _locked(out, places), workforce as pool:
        if target:
            _take_over(target, out)
        _check_options(out, job, pool.start())
        if target:
            upload(out / STATE / _MANIFEST, f"{target}/{STATE}/{_MANIFEST}")
        work: dict[Place, _Work] = {}
        for place in places:
            try:
                _claim(place)
            except (BagError, OSError) as error:
                report.failed[place] = reason(error)
                continue
            if not place.finished:
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


def names(paths: Sequence[Path | str]) -> list[str]:
    """Return a name for each recording, from its file: a.mcap becomes a, a second one a_2."""
    found: list[str] = []
    for path in paths:
        if isinstance(path, Path):
            name, folder = path.absolute().name, path.is_dir()
        else:
            name, folder = base_name(path), is_folder(path)
        stem = name if folder else name.removesuffix(".zstd").rpartition(".")[0]
        stem = (stem or name).lstrip(".") or "recording"
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
    if not isinstance(task, Assembly) and not left.frames:
        pool.add(Assembly(place, left.segments))


@contextmanager
def _locked(out: Path, places: Sequence[Place]) -> Iterator[None]:
    """Hold the folder for this run alone, and remove what workers have left when it ends.

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
        try:
            yield
        finally:
            for place in places:
                _sweep(place)


def _sweep(place: Place) -> None:
    """Remove what writers that were killed have left."""
    for left in place.state.glob(".*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def _take_over(target: str, out: Path) -> None:
    """Fetch the state of a run that this or another machine has begun at a target.

    Raises:
        BagError: there is something else, or it cannot be read.
    """
    path, manifest = out / STATE / _MANIFEST, f"{target}/{STATE}/{_MANIFEST}"
    if not matches(manifest):
        if matches(f"{target}/*"):
            raise BagError(f"{target} holds files of no run: choose another --out")
        return
    path.unlink(missing_ok=True)
    download(manifest, path, listing(manifest))
    for url in matches(f"{target}/*/metadata.yaml"):
        name = base_name(url.removesuffix("/metadata.yaml"))
        place = Place(Path(), name, out, target=target)
        if not place.finished:
            shutil.rmtree(place.state, ignore_errors=True)
            state = f"{target}/{STATE}/{name}"
            download(state, place.state, listing(state))
            place.uploaded.touch()


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
    if not place.url and not place.path.exists():
        raise BagError(f"there is no recording at {place.path}")
    source = _source(place)
    path = place.source
    done = place.joined or place.bag.exists()
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
        if known["path"] != source["path"]:
            raise BagError(
                f"{place.results} holds the results of {known['path']}: choose another --out"
            )
        if known != source and done:
            raise BagError(
                f"{place.given} has changed since its results were made: choose another --out"
                if place.target
                else f"{place.given} has changed since its results were made: remove {place.bag} "
                f"and {place.state} to make them anew"
            )
        if known == source:
            _sweep(place)
            return
        shutil.rmtree(place.state)
    elif done:
        raise BagError(f"{place.results} exists already and is of no run: choose another --out")
    with open_replacing(path, "w", encoding="utf-8") as file:
        json.dump(source, file)


def _source(place: Place) -> dict[str, Any]:
    """Return path, sizes and times of the files of a recording."""
    if place.url:
        return {"path": place.url, "files": [list(file) for file in listing(place.url)]}
    path = place.path
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    seen = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    return {"path": str(path.absolute()), "files": seen}
