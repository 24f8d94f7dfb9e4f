"""Writes files whole or not at all: temporary name, fsync, rename."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

_SHOWN = 40  # characters of a name in its temporary name, which may be no longer than a name


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write `path` through a temporary file beside it, which takes its place at the end.

    For writers that want a path, such as `cv2.imwrite`; others use `open_replacing`. The temporary
    name keeps the suffix, which many writers go by. Folders on the way are made. If the block
    raises, the temporary file is removed and an older file at `path` stays.

    Yields:
        the temporary path; whatever the block leaves there becomes `path`.

    Raises:
        OSError: the file cannot be written; the error names `path`, and on a full disk the need.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            suffix=path.suffix, prefix=f".{path.stem[:_SHOWN]}.", dir=path.parent
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        _sync(temporary)
        temporary.chmod(_mode(path))
        temporary.replace(path)
        temporary = None
        _sync(path.parent)
    except OSError as error:
        if error.filename not in (None, str(temporary), str(path), str(path.parent)):
            raise  # another file's, which the block used
        raise _explained(error, path, temporary) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def open_replacing(
    path: str | os.PathLike[str], mode: str = "wb", **options: Any
) -> Iterator[IO[Any]]:
    """Open a file that takes the place of `path` when the block ends without an exception.

    Args:
        path: of the file.
        mode: `w` or `wb`.
        **options: of `open`, such as `encoding`.

    Raises:
        OSError: as of `replacing`.
    """
    with replacing(path) as temporary, temporary.open(mode, **options) as file:
        yield file


@contextmanager
def making_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Make a folder that appears at `path` when the block ends without an exception.

    Yields:
        a path of the same name in a temporary folder beside, where the block makes the folder.

    Raises:
        FileExistsError: there is something at `path`.
        OSError: as of `replacing`.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(errno.EEXIST, "it exists already", str(path))
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name[:_SHOWN]}.", dir=path.parent))
        made = temporary / path.name
        yield made
        for part in (*made.rglob("*"), made):
            _sync(part)
        made.rename(path)
        _sync(path.parent)
    except OSError as error:
        inside = temporary is not None and str(error.filename).startswith(str(temporary))
        if not inside and error.filename not in (None, str(path), str(path.parent)):
            raise  # another file's, which the block used
        raise _explained(error, path, temporary) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def is_full(error: BaseException) -> bool:
    """Tell whether an error is that of a full disk or an exhausted quota."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def bytes_at(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder; 0 if there is nothing."""
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems sync no folders
            raise
    finally:
        os.close(handle)


def _mode(path: Path) -> int:
    """Return the permissions of an older file at `path`, else those of a new file."""
    with suppress(OSError):
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _explained(error: OSError, path: Path, temporary: Path | None) -> OSError:
    words = error.strerror or str(error)
    if is_full(error):
        written = 0 if temporary is None else bytes_at(temporary)
        words = f"no space left for it (more than {written} bytes are needed); free some and repeat"
    return OSError(error.errno or errno.EIO, f"cannot write {path}: {words}")
