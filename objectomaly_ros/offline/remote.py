"""Recordings and results at URLs such as s3:// and gs://, through fsspec."""

from __future__ import annotations

import fcntl
import posixpath
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.files.writing import is_full
from objectomaly_ros.models.extras import naming_extra
from objectomaly_ros.runtime.log_text import describe

AT_ONCE = 8
"""Files or recordings that are asked for at a time."""

ATTEMPTS = 3
"""A transfer that breaks off is resumed; after so many attempts it is given up."""

_URL = re.compile(r"[a-z][a-z0-9+.-]*(://|::)", re.IGNORECASE)
_LOCAL = re.compile(r"(file|local)://")
_PAUSE_S = 0.5
_CHUNK = 2**23
_TAGS = ("etag", "md5hash", "content-md5", "mtime", "last-modified", "lastmodified",
         "last_modified", "modified", "updated", "created")  # fmt: skip
# Here an object appears when its upload is complete, and renaming copies it.
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "oci", "r2", "tos"}


class RemoteFile(NamedTuple):
    """A file at a URL: `size` in bytes, None if unknown; `tag` changes with the content."""

    name: str
    size: int | None
    tag: str


class Listing(NamedTuple):
    """What is at a URL: a folder with files, or one file."""

    folder: bool
    files: list[RemoteFile]


def location(text: str) -> Path | str:
    """Return a URL as it is, and anything else, also file://, as a path of this machine."""
    if _LOCAL.match(text) or not _URL.match(text):
        return Path(_LOCAL.sub("", text, count=1))
    return text


def matches(url: str) -> list[str]:
    """Return the URLs of what is there; * in a URL stands for any part of a name.

    Raises:
        BagError: it cannot be reached.
        ImportError: fsspec or the protocol's package is missing.
    """
    fs, path = _opened(url)
    try:
        fs.invalidate_cache()
        return [str(fs.unstrip_protocol(one)) for one in sorted(fs.glob(path))]
    except Exception as error:  # of the protocol's package
        raise BagError(f"cannot look at {url}: {describe(error)}") from error


def base_name(url: str) -> str:
    """Return the last part of the path of a URL."""
    first = url.partition("::")[0] if "://" in url.partition("::")[0] else url
    parts = urlsplit(first)
    web = parts.scheme in ("http", "https")
    path = unquote(parts.path) if web else first.partition("://")[2]
    name = posixpath.basename(path.rstrip("/"))
    return name if name not in ("", ".", "..") else "recording"


def listings(urls: Iterable[str]) -> dict[str, Listing | BagError]:
    """Return the `listing` of each URL, or why there is none, such as a missing package."""

    def look(url: str) -> Listing | BagError:
        try:
            return listing(url)
        except BagError as error:
            return error
        except ImportError as error:
            return BagError(str(error))

    wanted = list(dict.fromkeys(urls))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(wanted, pool.map(look, wanted), strict=True))


def listing(url: str) -> Listing:
    """Look at a file, or at the files of a folder without those of folders in it.

    Raises:
        BagError: there is nothing, or it cannot be reached.
        ImportError: fsspec or the protocol's package is missing.
    """
    fs, path = _opened(url)
    try:
        fs.invalidate_cache()
        info = fs.info(path)
        if info["type"] != "directory":
            return Listing(False, [_remote_file(base_name(url), info)])
        found = [one for one in fs.ls(path, detail=True) if one["type"] == "file"]
    except FileNotFoundError:
        raise BagError(f"there is nothing at {url}") from None
    except Exception as error:  # of the protocol's package
        raise BagError(f"cannot look at {url}: {describe(error)}") from error
    files = [_remote_file(posixpath.basename(one["name"]), one) for one in found]
    return Listing(True, sorted(file for file in files if file.name not in ("", ".", "..")))


def _remote_file(name: str, info: dict[str, Any]) -> RemoteFile:
    known = {key.lower(): value for key, value in info.items()}
    tag = next((str(known[key]) for key in _TAGS if known.get(key)), "")
    return RemoteFile(name, None if info.get("size") is None else int(info["size"]), tag)


def download(
    url: str,
    to: Path,
    found: Listing,
    progress: Callable[[int], None] = lambda count: None,
) -> None:
    """Copy a file or a folder; goes on with what an earlier call has copied.

    Args:
        url: of it.
        to: path of the copy.
        found: as of `listing` before.
        progress: is told of bytes that are copied.

    Raises:
        BagError: it cannot be read, or it is not what it was when `found` was.
        OSError: the copy cannot be written.
    """
    fs, path = _opened(url)
    lock = Lock()

    def count(size: int) -> None:
        with lock:
            progress(size)

    def copy(file: RemoteFile) -> None:
        source = f"{path.rstrip('/')}/{file.name}" if found.folder else path
        _copy(fs, source, file, to / file.name if found.folder else to, count)

    (to if found.folder else to.parent).mkdir(parents=True, exist_ok=True)
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(copy, found.files))
    except (MemoryError, BagError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and is_full(error):
            words = f"no space left for a copy of {url}; free some and start again"
            raise OSError(error.errno, words) from error
        raise BagError(f"cannot read {url}: {describe(error)}") from error
    if listing(url) != found:
        raise BagError(f"{url} has changed since the run began: start it again")


def _copy(
    fs: Any, source: str, file: RemoteFile, to: Path, progress: Callable[[int], None]
) -> None:
    part = to.with_name(f"{to.name}.part")

    def go_on() -> None:
        with part.open("ab") as out:
            # A worker that Ray has given up may still be at it.
            fcntl.flock(out, fcntl.LOCK_EX)
            if to.exists() and file.size in (None, to.stat().st_size):
                part.unlink(missing_ok=True)
                return
            with fs.open(source, "rb") as opened:
                try:
                    opened.seek(out.tell())
                except (OSError, ValueError):  # a stream
                    out.truncate(0)
                while data := opened.read(_CHUNK):
                    out.write(data)
                    progress(len(data))
            if file.size not in (None, out.tell()):
                raise BagError(f"{source} ended after {out.tell()} of {file.size} bytes")
            part.replace(to)

    _repeated(go_on)


def upload(source: Path, url: str) -> None:
    """Copy a file or a folder to a URL, where a file has its name only when it is whole.

    The metadata.yaml of a bag comes last.

    Raises:
        BagError: it cannot be written.
        ImportError: fsspec or the protocol's package is missing.
    """
    fs, path = _opened(url)
    protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
    files = [source]
    if source.is_dir():
        found = (file for file in source.rglob("*") if file.is_file())
        files = sorted(found, key=lambda file: (file.name == "metadata.yaml", file))

    def put(file: Path, to: str) -> None:
        if protocols & _OBJECT_STORES:
            fs.put_file(str(file), to)
            return
        folder, name = posixpath.split(to)
        fs.makedirs(folder, exist_ok=True)
        fs.put_file(str(file), f"{folder}/.{name}.part")
        fs.mv(f"{folder}/.{name}.part", to)

    for file in files:
        to = path if file == source else f"{path}/{file.relative_to(source).as_posix()}"
        try:
            _repeated(lambda file=file, to=to: put(file, to))  # type: ignore[misc]
        except MemoryError:
            raise
        except Exception as error:
            raise BagError(f"cannot write {url}: {describe(error)}") from error


def _repeated(work: Callable[[], None]) -> None:
    """Do something again if the connection breaks."""
    for attempt in range(ATTEMPTS):
        try:
            return work()
        except Exception as error:  # of the protocol's package
            final = isinstance(error, (FileNotFoundError, PermissionError, MemoryError))
            if final or is_full(error) or attempt == ATTEMPTS - 1:
                raise
            time.sleep(_PAUSE_S * 2**attempt)


def _opened(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it.

    Raises:
        BagError: the protocol is unknown, or the service refuses.
        ImportError: fsspec or the protocol's package is missing.
    """
    with naming_extra(url):
        from fsspec.core import url_to_fs
    try:
        fs, path = url_to_fs(url)
    except ImportError as error:
        missing = getattr(error.__cause__, "name", None) or error.name or ""
        package = missing.partition(".")[0] or "the package of its protocol"
        raise ImportError(
            f"{url} needs {package}, which is not installed: pip install {package}"
        ) from error
    except Exception as error:  # of the protocol's package
        raise BagError(f"cannot open {url}: {describe(error)}") from error
    return fs, str(path)
