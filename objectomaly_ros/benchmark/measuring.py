"""Time and peak memory of calls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from objectomaly_ros.models.timing import Stopwatch

_PROCESS = Path("/proc/self")


@contextmanager
def timed_calls(owner: Any, method: str, watch: Stopwatch, stage: str) -> Iterator[None]:
    """Add the time of all calls of a method of this one object to a stage, within the block."""
    original = getattr(owner, method)

    def timed(*args: Any, **keywords: Any) -> Any:
        with watch.stage(stage):
            return original(*args, **keywords)

    setattr(owner, method, timed)
    try:
        yield
    finally:
        delattr(owner, method)  # uncovers the method of the class


class PeakMemory:
    """The peak memory since its construction: of the tensors on a GPU, or of this process."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            with suppress(OSError):  # not Linux: the peak is that of the whole process
                (_PROCESS / "clear_refs").write_text("5")

    def megabytes(self) -> float | None:
        """Return the peak in MB (10^6 bytes), None if the system does not tell it."""
        if self._device.type == "cuda":
            return float(torch.cuda.max_memory_allocated(self._device) / 1e6)
        try:
            status = (_PROCESS / "status").read_text()
        except OSError:
            return None
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(peak[1]) * 1024 / 1e6 if peak else None
