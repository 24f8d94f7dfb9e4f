"""Downloads a checkpoint: resumed where it broke off, verified, and in place only when whole."""

from __future__ import annotations

import errno
import fcntl
import http.client
import lzma
import os
import re
import shutil
import stat
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, cast

from tqdm import tqdm

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.table import Checkpoint, cache_dir
from objectomaly_ros.checkpoints.verify import verify
from objectomaly_ros.files.writing import is_full, open_replacing, replacing

_BLOCK = 1 << 20
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError,
            RuntimeError)  # fmt: skip
_TIMEOUT_S = 30.0
_SLOW_S, _SLOW_BYTES = 60.0, 60_000  # a server that sends less in this time keeps us for days
_MAX_BYTES = 8 << 30  # of a file whose size nobody publishes, and of one in an archive


def download(checkpoint: Checkpoint, folder: Path | None = None, *, quiet: bool = False) -> Path:
    """Return the path of a checkpoint, downloading it first if it is not there yet.

    A download that breaks off is kept as `<file>.part` and resumed by the next call; one that is
    of no use (wrong hash, full disk) is removed. The final name appears once the file is verified.

    Args:
        checkpoint: which one.
        folder: where to; default `table.cache_dir()`.
        quiet: no progress bar.

    Raises:
        CheckpointError: it must be fetched by hand, there is no network, the disk is full, another
            process downloads it, or the server sent another file; the message says where to get it
            and where to put it.
        OSError: it cannot be written.
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
        with _open_own(part) as file:
            _lock(file, part)
            try:
                try:
                    _fetch(checkpoint, part, file, quiet)
                finally:
                    file.flush()
                _put_in_place(checkpoint, part, target)
            except Exception as error:
                if isinstance(error, _UselessError) or is_full(error):
                    _remove(part)
                raise
            finally:
                if target.exists() or not os.fstat(file.fileno()).st_size:
                    _remove(part)
    except CheckpointError:
        raise
    except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
        raise CheckpointError(_offline(checkpoint, target, error)) from error
    except OSError as error:
        if not is_full(error):
            raise _with_path(error, part) from error
        raise CheckpointError(
            f"the disk of {folder} is full; nothing was left behind. OBJECTOMALY_CACHE moves "
            "the cache to another disk."
        ) from error
    except (http.client.HTTPException, ValueError) as error:  # of urllib, too
        raise CheckpointError(
            f"{checkpoint.url} gives an answer that is not understood: {error!r}"
        ) from error
    return target


def instructions(checkpoint: Checkpoint, target: Path) -> str:
    """Say how to get a file that only a browser can fetch."""
    inner = f" ({checkpoint.note})" if checkpoint.note else ""
    return (
        f"{checkpoint.name}{inner} is on Google Drive, which wants a browser: open {checkpoint.url}"
        f", download the file, and put it at {target} (or `pip install gdown` and let that fetch "
        "it). Then `objectomaly checkpoints verify` checks it."
    )


class _UselessError(CheckpointError):
    """What has arrived is of no use."""


class _HttpsRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, url: str
    ) -> Any:
        """Follow a redirect to another https address only."""
        _check_address(url)
        return super().redirect_request(req, fp, code, msg, headers, url)


def _check_address(url: str) -> None:
    if not url.startswith("https://"):
        raise CheckpointError(f"{url} is refused: checkpoints are downloaded over https alone")


def _transport() -> urllib.request.BaseHandler:
    return urllib.request.HTTPSHandler()


def _open_own(path: Path) -> IO[bytes]:
    """Open a file for reading and writing; make it if need be.

    The cache may be shared: neither links that others have planted are followed, nor their files
    used.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise CheckpointError(f"{path} is a link; remove it, and download again") from error
    state = os.fstat(handle)
    if not stat.S_ISREG(state.st_mode) or state.st_uid != os.geteuid() or state.st_nlink != 1:
        os.close(handle)
        raise CheckpointError(
            f"{path} belongs to somebody else or is no plain file; remove it, and download again"
        )
    return os.fdopen(handle, "r+b")


def _lock(file: IO[bytes], part: Path) -> None:
    """Keep other processes away from a partial download."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The other process may have moved it away since it was opened.
        ours = part.exists() and os.path.samestat(os.fstat(file.fileno()), part.stat())
    except BlockingIOError:
        ours = False
    except OSError:  # a file system without locks
        ours = True
    if not ours:
        raise CheckpointError(f"another process downloads {part}; repeat when it has ended")


def _with_path(error: OSError, path: Path) -> OSError:
    """Return an error of a write, which names no file, with the file's name."""
    if error.filename is not None or error.errno is None:
        return error
    return OSError(error.errno, os.strerror(error.errno), str(path))


def _fetch(checkpoint: Checkpoint, part: Path, file: IO[bytes], quiet: bool) -> None:
    limit = checkpoint.size or _MAX_BYTES
    have = file.seek(0, os.SEEK_END)
    if have == checkpoint.size:
        return
    answer = _ask(checkpoint.url, part, have if have < limit else 0)
    # The server has another file by now, or cannot resume.
    answer = answer or _ask(checkpoint.url, part, 0)
    if answer is None:
        raise CheckpointError(f"{checkpoint.url} sends a part of the file when asked for all of it")
    response, have, total = answer
    with response:
        if total is not None and total > limit:
            raise _UselessError(_too_large(checkpoint, limit))
        if total is not None and shutil.disk_usage(part.parent).free < total - have:
            raise OSError(errno.ENOSPC, f"{total - have:,} bytes to come")
        if etag := response.headers.get("ETag"):
            with open_replacing(_etag_file(part), "w") as tag:
                tag.write(etag)
        file.seek(have)
        file.truncate()
        with tqdm(
            desc=checkpoint.file,
            total=total,
            initial=have,
            unit="B",
            unit_scale=True,
            disable=quiet,
        ) as bar:
            since, had = time.monotonic(), have
            while block := _read(response):
                have += len(block)
                if (now := time.monotonic()) - since > _SLOW_S:
                    if have - had < _SLOW_BYTES:
                        raise ConnectionError(f"{have - had} bytes came in {now - since:.0f} s")
                    since, had = now, have
                if have > limit:
                    raise _UselessError(_too_large(checkpoint, limit))
                file.write(block)
                bar.update(len(block))
    if total is not None and have != total:
        raise ConnectionError(f"it broke off after {have:,} of {total:,} bytes")


def _ask(url: str, part: Path, start: int) -> tuple[Any, int, int | None] | None:
    """Ask for a file from a byte on.

    Returns:
        the response, the byte that it starts at, and the size of the whole file if known; None if
        the server sends another range than the one asked for.
    """
    _check_address(url)
    request = urllib.request.Request(url, headers={"User-Agent": "objectomaly"})
    if start:
        request.add_header("Range", f"bytes={start}-")
        with _open_own(_etag_file(part)) as tag:
            if etag := tag.read(1000).decode("latin1"):
                # If-Range: should the file have changed since, the server sends all of the new one.
                request.add_header("If-Range", etag)
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        _transport(),
        _HttpsRedirects(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    try:
        response: Any = opener.open(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if start and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return None
        raise CheckpointError(
            f"{url} answers {error.code} {error.reason}: has it moved? The table of "
            "`objectomaly checkpoints list` says who publishes it."
        ) from error
    if response.status != http.client.PARTIAL_CONTENT:
        length = response.headers.get("Content-Length")
        return response, 0, int(length) if length else None
    sent = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", ""))
    first, last, total = (int(number) for number in sent.groups()) if sent else (-1, -1, -1)
    if first != start or last != total - 1:
        response.close()
        return None
    return response, first, total


def _read(response: Any) -> bytes:
    try:
        return cast(bytes, response.read1(_BLOCK))
    except http.client.IncompleteRead as error:
        return error.partial


def _too_large(checkpoint: Checkpoint, limit: int) -> str:
    return (
        f"{checkpoint.url} sends more than {limit:,} bytes, "
        f"{'the published size' if checkpoint.size else 'the limit'}: it is another file"
    )


def _put_in_place(checkpoint: Checkpoint, part: Path, target: Path) -> None:
    try:
        verify(part, checkpoint)
    except CheckpointError as error:
        raise _UselessError(str(error)) from error
    if checkpoint.member is None:
        with replacing(target) as temporary:
            part.replace(temporary)
        return
    try:
        with zipfile.ZipFile(part) as archive:
            names = [name for name in archive.namelist() if Path(name).name == checkpoint.member]
            if not names:
                raise _UselessError(
                    f"{checkpoint.url} holds no {checkpoint.member}, but "
                    f"{', '.join(archive.namelist()[:8])}"
                )
            size = archive.getinfo(names[0]).file_size
            if size > _MAX_BYTES:
                raise _UselessError(f"{names[0]} of {checkpoint.url} claims {size:,} bytes")
            with archive.open(names[0]) as source, open_replacing(target) as file:
                shutil.copyfileobj(source, file, _BLOCK)  # at most the size that was claimed
    except _DAMAGED as error:
        raise _UselessError(f"{checkpoint.url} gave no intact zip archive: {error}") from error


def _offline(checkpoint: Checkpoint, target: Path, error: OSError) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    what = f"the file {checkpoint.member} of " if checkpoint.member else ""
    return (
        f"cannot download {checkpoint.name} ({reason}). Run the command again to resume; without a "
        f"network here, bring {what}{checkpoint.url} to {target}."
    )


def _etag_file(part: Path) -> Path:
    return part.with_name(part.name + ".etag")


def _remove(part: Path) -> None:
    part.unlink(missing_ok=True)
    _etag_file(part).unlink(missing_ok=True)
