"""The state of a run on disk: whose it is, what was done, and for which recordings."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.files.writing import open_replacing
from objectomaly_ros.offline.job import Job
from objectomaly_ros.offline.remote import (
    AT_ONCE,
    Listing,
    base_name,
    download,
    listing,
    matches,
    upload,
)
from objectomaly_ros.offline.tasks import STATE, Place, sweep

OWN_FILES = ("index.html", "obstacles.jsonl", "obstacles.parquet", "lock", "run.json")
"""Names in the folders of a run that no recording may have."""

_MANIFEST = "run.json"
_TEMPORARY = re.compile(r"\.(index|obstacles)\..*\.(html|jsonl|parquet)")


@contextmanager
def locked(out: Path, places: Sequence[Place]) -> Iterator[None]:
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
        for left in out.glob(".*"):  # of a page or a table that was killed
            if _TEMPORARY.fullmatch(left.name):
                left.unlink()
        try:
            yield
        finally:
            for place in places:
                sweep(place)


def take_over(target: str, out: Path) -> None:
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

    def take(url: str) -> None:
        name = base_name(url.removesuffix("/metadata.yaml"))
        place = Place(Path(), name, out, target=target)
        if not place.finished:
            shutil.rmtree(place.state, ignore_errors=True)
            state = f"{target}/{STATE}/{name}"
            download(state, place.state, listing(state))
            place.uploaded.touch()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(take, matches(f"{target}/*/metadata.yaml")))


def check_options(out: Path, job: Job, identity: str, target: str) -> None:
    """Check that the folder is new, or that of a run with the same options.

    Args:
        out: folder of the run.
        job: its options.
        identity: of its models.
        target: URL where the options are written as well, unless it is empty.

    Raises:
        BagError: it is not; the message names the options. Or nothing can be written at the URL.
    """
    path = out / STATE / _MANIFEST
    options = json.loads(json.dumps(asdict(job)))
    if not path.exists():
        with open_replacing(path, "w", encoding="utf-8") as file:
            json.dump({"identity": identity, "options": options}, file, indent=1)
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        before, same = known["options"], known["identity"] == identity
    except (ValueError, KeyError, TypeError) as error:
        raise BagError(f"{path} is damaged ({error}): remove {out} and begin anew") from error
    if not same:
        changes = [
            f"{key} was {before.get(key)}, now {value}"
            for key, value in options.items()
            if before.get(key) != value
        ] or ["a model, its weights or this package has changed"]
        raise BagError(
            f"{target or out} holds results of another run ({'; '.join(changes)}): choose another "
            "--out, or remove it"
        )
    if target:
        upload(path, f"{target}/{STATE}/{_MANIFEST}")


def claim(place: Place, source: dict[str, Any]) -> None:
    """Check that the folders of a recording are new, or those of this very recording.

    Args:
        place: of the recording.
        source: of `source`.

    Raises:
        BagError: they are of another one, or it has changed since.
        OSError: they cannot be read or written.
    """
    path = place.source
    done = place.joined or place.bag.exists()
    if path.exists():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            before = known["path"]
        except (ValueError, KeyError, TypeError) as error:
            raise BagError(
                f"{path} is damaged ({error}): remove {place.state} and {place.bag}"
            ) from error
        if before != source["path"]:
            raise BagError(f"{place.results} holds the results of {before}: choose another --out")
        if known != source and done:
            raise BagError(
                f"{place.given} has changed since its results were made: choose another --out"
                if place.target
                else f"{place.given} has changed since its results were made: remove {place.bag} "
                f"and {place.state} to make them anew"
            )
        if known == source:
            sweep(place)
            return
        shutil.rmtree(place.state)
    elif done:
        raise BagError(f"{place.results} exists already and is of no run: choose another --out")
    with open_replacing(path, "w", encoding="utf-8") as file:
        json.dump(source, file)


def has_changed(place: Place) -> bool:
    """Tell whether a local recording is no longer what it was when the run began."""
    if place.url:  # its copy does not change
        return False
    try:
        return json.dumps(source(place, {})) != place.source.read_text(encoding="utf-8")
    except (BagError, OSError):  # it is gone
        return True


def source(place: Place, seen: Mapping[str, Listing | BagError]) -> dict[str, Any]:
    """Return path, sizes and times of the files of a recording.

    Args:
        place: of the recording.
        seen: what is at URLs.

    Raises:
        BagError: there is no recording.
        OSError: it cannot be looked at.
    """
    if place.url:
        found = seen[place.url]
        if isinstance(found, BagError):
            raise found
        listed = [list(file) for file in found.files]
        return {"path": place.url, "folder": found.folder, "files": listed}
    path = place.path
    if not path.exists():
        raise BagError(f"there is no recording at {path}")
    files = [path]
    if path.is_dir():  # which may be the folder of the run, or hold it; folders are no part of it
        files = sorted(file for file in path.iterdir() if file.is_file())
        files = [file for file in files if file.name not in OWN_FILES]
    known = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    return {"path": str(path.absolute()), "files": known}
