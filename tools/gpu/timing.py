"""Times of a call within a budget, and its peak memory."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from objectomaly_ros.benchmark.measuring import PeakMemory
from tools.gpu.rows import Budget, Settings


def measure(
    call: Callable[[], object], settings: Settings, seconds: float, most: int = 50
) -> dict[str, float]:
    """Call once to warm up, then while the seconds last and at most `most` times, at least twice.

    Returns:
        median and 95th percentile in ms, peak memory in MB, and the number of counted calls.
    """
    device = torch.device(settings.device)
    if settings.tiny:
        most = 2
    memory, budget, times = PeakMemory(device), Budget(seconds), list[float]()
    while len(times) < 3 or (len(times) <= most and budget.left() > times[-1] / 1e3):
        began = time.perf_counter()
        call()
        if settings.on_gpu:
            torch.cuda.synchronize(device)
        times.append(1e3 * (time.perf_counter() - began))
    return figures(times[1:]) | {"peak MB": memory.megabytes() or 0.0}


def figures(times_ms: list[float]) -> dict[str, float]:
    """Return the statistics of times."""
    median, p95 = np.percentile(times_ms, [50, 95])
    return {"median ms": float(median), "p95 ms": float(p95), "runs": len(times_ms)}
