"""Seconds and memory, on devices that work behind the program's back."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

_PROCESS = Path("/proc/self")


class Stopwatch:
    """Adds up the seconds of the blocks it is entered for; waits for a GPU at both ends.

    Attributes:
        seconds: so far.
    """

    def __init__(self, device: torch.device) -> None:
        self.seconds = 0.0
        self._device = device
        self._start = 0.0

    def __enter__(self) -> Stopwatch:
        self._wait()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self._wait()
        self.seconds += time.perf_counter() - self._start

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


@contextmanager
def spending(owner: Any, method: str, device: torch.device) -> Iterator[Stopwatch]:
    """Measure what all calls of a method of this one object take, within the block."""
    spent = Stopwatch(device)
    original = getattr(owner, method)

    def timed(*args: Any, **keywords: Any) -> Any:
        with spent:
            return original(*args, **keywords)

    setattr(owner, method, timed)
    try:
        yield spent
    finally:
        delattr(owner, method)  # the class's own shows again


class PeakMemory:
    """The highest memory since it was made: of a GPU's tensors, or of this process."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            with suppress(OSError):  # Linux only; elsewhere the peak is that of the process's life
                (_PROCESS / "clear_refs").write_text("5")

    def megabytes(self) -> float | None:
        """Return it in MB (10^6 bytes), None where the system does not tell."""
        if self._device.type == "cuda":
            return float(torch.cuda.max_memory_allocated(self._device) / 1e6)
        try:
            status = (_PROCESS / "status").read_text()
        except OSError:
            return None
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(peak[1]) * 1024 / 1e6 if peak else None
