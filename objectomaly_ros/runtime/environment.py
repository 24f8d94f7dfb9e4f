"""The environment of our processes and of those that they start."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DEFAULTS = {
    # No file of the working folder runs in a module's place (Python 3.11 and later).
    "PYTHONSAFEPATH": "1",
    # No thread spins while it waits: beside two busy processes, two spinning threads take 20 times
    # as long.
    "OMP_WAIT_POLICY": "PASSIVE",  # GNU OpenMP: torch, scikit-learn
    "KMP_BLOCKTIME": "0",  # OpenMP of LLVM and Intel
    "OPENBLAS_THREAD_TIMEOUT": "4",  # NumPy, SciPy: 2^4 cycles, the fewest it takes
    "OPENCV_THREAD_POOL_ACTIVE_WAIT_WORKER": "0",
    "OPENCV_THREAD_POOL_ACTIVE_WAIT_MAIN": "0",
}
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt
_LARGEST_BUFFER = 32 * 2**20  # the largest that glibc takes for M_MMAP_THRESHOLD
PACKAGE_PARENT = str(Path(__file__).resolve().parents[2])


def set_defaults() -> None:
    """Set the variables that the user has not set, to be called before libraries load."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def import_path() -> str:
    """Return this process's import path as the PYTHONPATH of a child.

    This package comes first. The working folder is left out, unless PYTHONPATH names it.
    """
    named = [os.path.normpath(f) for f in os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    folders = [
        folder
        for folder in sys.path
        if Path(folder).is_absolute() and (folder in named or not _is_working_folder(folder))
    ]
    return os.pathsep.join(dict.fromkeys([PACKAGE_PARENT, *folders]))


def child_command(module: str) -> list[str]:
    """Return the command of a child that calls `main` of a module; arguments may follow.

    Not `python -m`, which would put the working folder first on the import path.
    """
    bootstrap = (
        "import sys; sys.path = [folder for folder in sys.path if folder]; "
        f"from {module} import main; main()"
    )
    return [sys.executable, "-c", bootstrap]


def child_environment() -> dict[str, str]:
    """Return the environment of a child: this process's, with `DEFAULTS` and the import path."""
    return {**DEFAULTS, **os.environ, "PYTHONPATH": import_path()}


def _is_working_folder(folder: str) -> bool:
    return Path(folder).is_dir() and Path(folder).samefile(".")


def keep_freed_memory() -> None:
    """Have glibc keep freed memory, instead of faulting every image's buffer in again."""
    with suppress(OSError, AttributeError):  # not glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_BUFFER)
        mallopt(_M_TRIM_THRESHOLD, 4 * _LARGEST_BUFFER)


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Block SIGINT in this thread, and for good in the children that it starts meanwhile.

    Ctrl-C in a terminal reaches all processes, but the parent ends its children itself.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent(parent: int) -> None:
    """End this process soon after its parent, even in the middle of work.

    Args:
        parent: process id of the parent, which may have ended already.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
