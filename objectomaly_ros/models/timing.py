"""Seconds that stages take, on the host or on a GPU that works asynchronously."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Stopwatch:
    """Adds up the seconds of named stages; on a GPU by events, without waiting in between.

    Args:
        *stages: their names; a stage that never runs takes 0 seconds.
        device: on which the stages compute; None for the host.
    """

    def __init__(self, *stages: str, device: torch.device | None = None) -> None:
        self._seconds = dict.fromkeys(stages, 0.0)
        self._on_gpu = device is not None and device.type == "cuda"
        self._device = device
        self._events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to stage `name`."""
        if self._on_gpu:
            begin = self._mark()
            yield
            self._events.append((name, begin, self._mark()))
            return
        start = time.perf_counter()
        yield
        self._seconds[name] += time.perf_counter() - start

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each stage so far; on a GPU this waits for the last one."""
        for name, begin, end in self._events:
            end.synchronize()
            self._seconds[name] += begin.elapsed_time(end) / 1e3
        self._events.clear()
        return dict(self._seconds)

    def _mark(self) -> torch.cuda.Event:
        import torch

        event: torch.cuda.Event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event
