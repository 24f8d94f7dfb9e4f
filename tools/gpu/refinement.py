"""OASC and MBP on the device against the host."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from objectomaly_ros.gpu import mbp as gpu_mbp
from objectomaly_ros.gpu import oasc as gpu_oasc
from objectomaly_ros.mbp import refine_boundary
from objectomaly_ros.oasc import calibrate
from objectomaly_ros.types import ScoreMap
from tools.benchmarks.oasc_mbp import TOLERANCE, synthetic_masks, synthetic_score
from tools.gpu.rows import Budget, Row, Settings, Task
from tools.gpu.timing import measure as timed

BOTH = "OASC + MBP"


def measure(task: Task, settings: Settings, budget: Budget) -> Iterator[Row]:
    """Time both stages on the device with SAM's masks there, and on the host."""
    for number, (size, shape) in enumerate(settings.sizes.items()):
        seconds = budget.left() / (len(settings.sizes) - number)
        yield from _at_size(size, shape, settings, seconds / 4)


def _at_size(
    size: str, shape: tuple[int, int], settings: Settings, seconds: float
) -> Iterator[Row]:
    rng = np.random.default_rng(7)
    masks, score = synthetic_masks(rng, shape), synthetic_score(rng, shape)
    areas = masks.sum(axis=(1, 2))  # SAM reports them
    calibrated = calibrate(score, masks, areas=areas)
    final = refine_boundary(calibrated)
    there, masks_there, areas_there, calibrated_there = (
        torch.from_numpy(array).to(settings.device) for array in (score, masks, areas, calibrated)
    )

    def oasc() -> torch.Tensor:
        return gpu_oasc.calibrate(there, masks_there, areas=areas_there)

    def mbp() -> torch.Tensor:
        return gpu_mbp.refine_boundary(calibrated_there)

    def both() -> torch.Tensor:
        return gpu_mbp.refine_boundary(oasc())

    note = f"{len(masks)} masks"
    for name, call, expected in (
        ("OASC", oasc, calibrated), ("MBP", mbp, final), (BOTH, both, final)
    ):  # fmt: skip
        difference = float(np.abs(call().cpu().numpy() - expected).max())
        figures = {"difference": difference, "bound": TOLERANCE}
        figures |= timed(call, settings, seconds, most=200)
        yield Row(name, "on the device", size, figures, difference <= TOLERANCE, note=note)

    def on_host() -> ScoreMap:
        return refine_boundary(calibrate(score, masks, areas=areas))

    yield Row(BOTH, "on the host", size, timed(on_host, settings, seconds), note=note)
