"""The units of work of a run: any process can do any of them, in any order that the run allows.

State of a run, below its output folder: .run/NAME/ holds the copy of a remote recording, the plans
of its streams, a bag for each segment that is done, and at the end only what the page needs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.files.writing import open_replacing
from objectomaly_ros.offline.assembly import Segments, assemble
from objectomaly_ros.offline.cameras import Cameras, Views
from objectomaly_ros.offline.job import Job, Models
from objectomaly_ros.offline.outputs import Outputs, camera_names
from objectomaly_ros.offline.plan import SEGMENT_FRAMES, Plan, chosen, make_plan
from objectomaly_ros.offline.recording import Recording
from objectomaly_ros.offline.remote import Listing, RemoteFile, download, upload
from objectomaly_ros.offline.segment import write_segment

STATE = ".run"


@dataclass(frozen=True)
class Place:
    """Where a recording is, and where its results go.

    Attributes:
        path: of the recording, or of its copy if it is remote.
        name: of its results.
        out: folder of the run.
        url: of a remote recording, else empty.
        target: URL that the results are moved to; empty if they stay in `out`.
    """

    path: Path
    name: str
    out: Path
    url: str = ""
    target: str = ""

    @property
    def given(self) -> str:
        """The recording as the user calls it."""
        return self.url or str(self.path)

    def told(self, text: str) -> str:
        """Return a message that calls the recording as the user does."""
        return text.replace(str(self.path), self.given)

    @property
    def state(self) -> Path:
        """Folder of what is not a result."""
        return self.out / STATE / self.name

    @property
    def bag(self) -> Path:
        """The results."""
        return self.out / self.name

    @property
    def results(self) -> str:
        """Path or URL of the results."""
        return f"{self.target}/{self.name}" if self.target else str(self.bag)

    @property
    def summary(self) -> Path:
        """What the page shows of it, written before the bag is in its place."""
        return self.state / "summary.json"

    @property
    def table(self) -> Path:
        """Its obstacles, one JSON object a line."""
        return self.state / "obstacles.jsonl"

    @property
    def joined(self) -> bool:
        """Whether the results are whole, in `out` or at their target."""
        return (self.bag.exists() or self.uploaded.exists()) and self.summary.exists()

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.uploaded.exists() if self.target else self.joined

    @property
    def source(self) -> Path:
        """What the recording was when the run began."""
        return self.state / "source.json"

    @property
    def copies(self) -> Path:
        """Folder of the copy of a remote recording."""
        return self.state / "copy"

    @property
    def uploaded(self) -> Path:
        """Exists when the results are at their target."""
        return self.state / "uploaded.json"

    @property
    def scanned(self) -> Path:
        """Number of streams, whose plans are there, and what is wrong with the recording."""
        return self.state / "scanned.json"

    def plan(self, stream: int) -> Path:
        """The plan of a stream."""
        return self.state / f"plan-{stream}.npz"

    def part(self, stream: int, number: int) -> Path:
        """The results of a segment."""
        return self.state / f"part-{stream}-{number:06}"


@dataclass(frozen=True)
class Scan:
    """Copies a recording if it is remote, and reads its times.

    Gives, for each stream, the frames of each segment.
    """

    place: Place


@dataclass(frozen=True)
class Segment:
    """Scores and refines one segment."""

    place: Place
    stream: int
    number: int


@dataclass(frozen=True)
class Assembly:
    """Joins the segments of a recording, all of which are done."""

    place: Place
    segments: tuple[int, ...]  # of each stream


Task = Scan | Segment | Assembly


def clean(place: Place) -> None:
    """Remove what nobody needs of a recording whose segments are joined."""
    sweep(place)
    _remove(
        *place.state.glob("part-*"),
        *place.state.glob("plan-*"),
        place.state / "whole",
        place.copies,
        *([place.bag] if place.uploaded.exists() else []),
    )


def sweep(place: Place) -> None:
    """Remove what writers that were killed have left."""
    _remove(*place.state.glob(".*"))


def _remove(*paths: Path) -> None:
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


class Worker:
    """Does tasks; keeps models and the last recording open in between.

    Args:
        job: what to do.
        segment_frames: see `make_plan`.
    """

    def __init__(self, job: Job, segment_frames: int = SEGMENT_FRAMES) -> None:
        self.models = Models(job)
        self._job = job
        self._segment_frames = segment_frames
        self._recording: Recording | None = None
        self._plans: dict[Path, Plan] = {}

    def perform(
        self,
        task: Task,
        progress: Callable[[int], None] = lambda count: None,
        copied: Callable[[int], None] = lambda count: None,
    ) -> Any:
        """Do a task, unless its result is there.

        Args:
            task: a `Scan` gives a list (streams) of lists (frames of each segment).
            progress: is told of frames that are done.
            copied: is told of bytes of a remote recording that are copied.

        Raises:
            BagError, OSError, ValueError: it cannot be done; the message says why.
            MemoryError: there is not enough memory here.
        """
        if isinstance(task, Scan):
            return self._scan(task.place, copied)
        if isinstance(task, Segment):
            return self._write_segment(task, progress)
        return self._assemble(task)

    def _scan(self, place: Place, copied: Callable[[int], None]) -> list[list[int]]:
        job = self._job
        if place.url:
            seen = json.loads(place.source.read_text(encoding="utf-8"))
            files = [RemoteFile(*file) for file in seen["files"]]
            download(place.url, place.path, Listing(seen["folder"], files), copied)
        if place.scanned.exists():
            plans = self._all_plans(place)
        else:
            recording = self._open(place.path)
            streams = recording.streams(job.topics)
            begin = min(int(stream.log_times[0]) for stream in streams)
            cut = [chosen(s, begin, job.start_s, job.end_s, job.every) for s in streams]
            plans = [make_plan(s, job.masks_every, self._segment_frames) for s in cut if len(s)]
            if not plans:
                last = max(int(stream.log_times[-1]) for stream in streams)
                raise BagError(
                    f"{place.given} has no image between --start and --end: its last one comes "
                    f"after {(last - begin) / 1e9:.1f} s"
                )
            for number, plan in enumerate(plans):
                plan.save(place.plan(number))
            with open_replacing(place.scanned, "w", encoding="utf-8") as file:
                cameras = recording.cameras([plan.stream.topic for plan in plans])
                known = {"streams": len(plans), "damage": recording.damage}
                json.dump(known | {"cameras": cameras.as_json()}, file)
        return [[end - begin for begin, end in pairwise(plan.segments)] for plan in plans]

    def _write_segment(self, task: Segment, progress: Callable[[int], None]) -> None:
        place = task.place
        path = place.part(task.stream, task.number)
        if path.exists():
            return
        plans = self._all_plans(place)
        plan = plans[task.stream]
        views = self._views(place, plans)
        write_segment(
            self._open(place.path),
            plan,
            task.number,
            self.models,
            self._outputs(plans, views)[task.stream],
            views[task.stream],
            path,
            progress,
        )

    def _assemble(self, task: Assembly) -> None:
        place = task.place
        if not place.joined:
            self._join(task)
        clean(place)
        if place.target and not place.finished:
            # Its bag comes last: where that is, the recording is done.
            upload(place.state, f"{place.target}/{STATE}/{place.name}")
            upload(place.bag, place.results)
            place.uploaded.touch()
            clean(place)

    def _join(self, task: Assembly) -> None:
        place = task.place
        plans = self._all_plans(place)
        outputs = self._outputs(plans, self._views(place, plans))
        streams = [
            Segments(plan, names, [place.part(stream, number) for number in range(count)])
            for stream, (plan, names, count) in enumerate(
                zip(plans, outputs, task.segments, strict=True)
            )
        ]
        whole = place.state / "whole" / place.name
        shutil.rmtree(whole.parent, ignore_errors=True)
        found = assemble(place.name, streams, self.models.settings, whole, place.table)
        if not any(stream["frames"] for stream in found):
            why = next((stream["problem"] for stream in found if stream["problem"]), "it is empty")
            shutil.rmtree(whole.parent)
            raise BagError(f"no image of {place.given} can be used: {why}")
        damage = json.loads(place.scanned.read_text(encoding="utf-8"))["damage"]
        for stream in found:
            stream["problem"] = place.told(stream["problem"])
        summary = {
            "recording": place.name,
            "path": place.given,
            "damage": damage and place.told(damage),
            "threshold": self.models.settings.high,
            "streams": found,
        }
        with open_replacing(place.summary, "w", encoding="utf-8") as file:
            json.dump(summary, file)
        whole.rename(place.bag)

    def _open(self, path: Path) -> Recording:
        if self._recording is None or self._recording.path != path:
            self.close()
            self._recording = Recording(path, self._job.rate_hz)
        return self._recording

    def _all_plans(self, place: Place) -> list[Plan]:
        count = json.loads(place.scanned.read_text(encoding="utf-8"))["streams"]
        paths = [place.plan(number) for number in range(count)]
        if list(self._plans) != paths:
            self._plans = {path: Plan.load(path) for path in paths}
        return list(self._plans.values())

    def _views(self, place: Place, plans: list[Plan]) -> list[Views]:
        cameras = Cameras(**json.loads(place.scanned.read_text(encoding="utf-8"))["cameras"])
        return [Views(cameras, plan.stream.topic) for plan in plans]

    def _outputs(self, plans: list[Plan], views: list[Views]) -> list[Outputs]:
        names = camera_names([plan.stream.topic for plan in plans])
        return [
            Outputs(name, self.models.settings.high, raw=self._job.raw, metres=seen.possible)
            for name, seen in zip(names, views, strict=True)
        ]

    def close(self) -> None:
        """Close the recording."""
        if self._recording is not None:
            self._recording.close()
            self._recording = None
