"""Downloads a checkpoint: resumed where it broke off, verified, and in place only when whole."""

from __future__ import annotations

import errno
import http.client
import shutil
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import IO, Any, cast

from tqdm import tqdm

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.table import Checkpoint, cache_dir
from objectomaly_ros.checkpoints.verify import verify

_BLOCK = 1 << 20
_TIMEOUT_S = 30.0


def download(checkpoint: Checkpoint, folder: Path | None = None, *, quiet: bool = False) -> Path:
    """Return the path of a checkpoint, downloading it first where it is not there yet.

    What has arrived is kept as `<file>.part` while the connection may come back, and removed where
    it is of no use (wrong hash, full disk). The final name appears only once the file is verified.

    Args:
        checkpoint: which one.
        folder: where to; default `table.cache_dir()`.
        quiet: no progress bar.

    Raises:
        CheckpointError: it must be fetched by hand, there is no network, the disk is full, or what
            came is not the file; the message says where to get it and where to put it.
    """
    folder = cache_dir() if folder is None else folder
    target = folder / checkpoint.file
    if target.exists():
        if checkpoint.member is None:
            verify(target, checkpoint)
        return target
    if checkpoint.by_hand:
        raise CheckpointError(instructions(checkpoint, target))
    part = target.with_name(target.name + ".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(checkpoint, part, quiet)
        _check(part, checkpoint)
        if checkpoint.member is not None:
            _extract(part, checkpoint.member, checkpoint.url)
        part.replace(target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _remove(part)
            raise CheckpointError(
                f"the disk of {folder} is full; nothing was left behind. OBJECTOMALY_CACHE moves "
                "the cache to another disk."
            ) from error
        if isinstance(error, urllib.error.URLError | ConnectionError | TimeoutError):
            raise CheckpointError(_offline(checkpoint, target, error)) from error
        raise CheckpointError(f"cannot write {target}: {error}") from error
    _etag_file(part).unlink(missing_ok=True)
    return target


def instructions(checkpoint: Checkpoint, target: Path) -> str:
    """Say how to get a file that only a browser can fetch."""
    inner = f" ({checkpoint.note})" if checkpoint.note else ""
    return (
        f"{checkpoint.name}{inner} is on Google Drive, which wants a browser: open {checkpoint.url}"
        f", download the file, and put it at {target} (or `pip install gdown` and let that fetch "
        "it). Then `objectomaly checkpoints verify` looks at it."
    )


def _fetch(checkpoint: Checkpoint, part: Path, quiet: bool) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have and have == checkpoint.size:
        return
    try:
        response = _open(checkpoint.url, part, have)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            # The part is not a beginning of what the server has now.
            _remove(part)
            return _fetch(checkpoint, part, quiet)
        raise CheckpointError(
            f"{checkpoint.url} answers {error.code} {error.reason}: has it moved? The table of "
            "`objectomaly checkpoints list` says who publishes it."
        ) from error
    with response:
        resumed = response.status == http.client.PARTIAL_CONTENT
        if not resumed:
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        _check_space(part.parent, total, have)
        etag = response.headers.get("ETag")
        if etag:
            _etag_file(part).write_text(etag)
        with (
            part.open("ab" if resumed else "wb") as file,
            tqdm(
                desc=checkpoint.file,
                total=total,
                initial=have,
                unit="B",
                unit_scale=True,
                disable=quiet,
            ) as bar,
        ):
            have += _copy(response, file, bar)
    if total is not None and have != total:
        raise ConnectionError(f"it broke off after {have:,} of {total:,} bytes")


def _open(url: str, part: Path, have: int) -> Any:
    request = urllib.request.Request(url, headers={"User-Agent": "objectomaly"})
    if not url.startswith(("https://", "http://")):
        raise CheckpointError(f"{url} is no web address")
    etag = _etag_file(part)
    if have and etag.exists():
        # If-Range: should the file have changed since, the server sends all of the new one.
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", etag.read_text())
    elif have:
        request.add_header("Range", f"bytes={have}-")
    return urllib.request.urlopen(request, timeout=_TIMEOUT_S)


def _copy(response: Any, file: IO[bytes], bar: Any) -> int:
    copied = 0
    while True:
        try:
            block = cast(bytes, response.read(_BLOCK))
        except http.client.IncompleteRead as error:
            block = error.partial
        if not block:
            return copied
        file.write(block)
        copied += len(block)
        bar.update(len(block))


def _check_space(folder: Path, total: int | None, have: int) -> None:
    if total is not None and shutil.disk_usage(folder).free < total - have:
        raise OSError(errno.ENOSPC, f"{total - have:,} bytes to come")


def _check(part: Path, checkpoint: Checkpoint) -> None:
    try:
        verify(part, checkpoint)
    except CheckpointError:
        _remove(part)
        raise


def _extract(part: Path, member: str, url: str) -> None:
    """Replace an archive by the one file of it that is wanted."""
    inner = part.with_name(part.name + ".inner")
    try:
        with zipfile.ZipFile(part) as archive:
            names = [name for name in archive.namelist() if Path(name).name == member]
            if not names:
                raise CheckpointError(
                    f"{url} holds no {member}, but {', '.join(archive.namelist()[:8])}"
                )
            with archive.open(names[0]) as source, inner.open("wb") as target:
                shutil.copyfileobj(source, target, _BLOCK)
        inner.replace(part)
    except (zipfile.BadZipFile, CheckpointError) as error:
        _remove(part)
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{url} gave no intact zip archive: {error}") from error
    finally:
        inner.unlink(missing_ok=True)


def _offline(checkpoint: Checkpoint, target: Path, error: OSError) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    what = f"the file {checkpoint.member} of " if checkpoint.member else ""
    return (
        f"cannot download {checkpoint.name} ({reason}). Run the command again to go on where it "
        f"broke off; without a network here, bring {what}{checkpoint.url} to {target}."
    )


def _etag_file(part: Path) -> Path:
    return part.with_name(part.name + ".etag")


def _remove(part: Path) -> None:
    part.unlink(missing_ok=True)
    _etag_file(part).unlink(missing_ok=True)
