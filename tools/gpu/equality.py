"""Every detector against the original code's numbers, or against itself on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from objectomaly_ros.benchmark.street import draw_street
from objectomaly_ros.detectors import load_detector
from objectomaly_ros.detectors.embedded import TORCH_WEIGHTS
from objectomaly_ros.types import ScoreMap
from tools.benchmarks import golden_errors
from tools.benchmarks.golden_errors import Compared, differences, golden_detector
from tools.gpu import models
from tools.gpu.rows import GOLDEN, Budget, Row, Settings, Task
from tools.gpu.tiny import HALF_BOUNDS

EXACT, LOGITS, GOLDEN_HALF = 1e-4, 1e-2, 0.1
"""Bounds: of scores and of logits in float32, as the largest difference over the largest magnitude;
of scores in half precision against goldens, as the mean difference over the range."""

GOLDENS: dict[str, list[Callable[..., Compared]]] = {
    "mask2anomaly": [
        partial(golden_errors.mask2anomaly, "case_a", "case_pad", input_size=None),
        partial(golden_errors.mask2anomaly, "case_b", "case_b720"),
    ],
    "rba": [partial(golden_errors.swin, "rba")],
    "uno": [partial(golden_errors.swin, "uno")],
    "maskomaly": [partial(golden_errors.swin, "maskomaly")],
    "rpl": [golden_errors.rpl],
}
_CASES = {"mask2anomaly": ("case_pad", "image_rgb", "cas"),
          "rpl": ("network_golden", "image", "anomaly_energy")}  # fmt: skip


def has_goldens(name: str, settings: Settings) -> bool:
    """Tell whether a detector is compared with goldens."""
    return name in GOLDENS and not settings.tiny and (golden_errors.GOLDENS / name).is_dir()


def measure(task: Task, settings: Settings, budget: Budget) -> Iterator[Row]:
    """Compare float32 and half precision with the goldens, or with float32 on the CPU."""
    compare = _Goldens if has_goldens(task.subject, settings) else _Itself
    comparison = compare(task.subject, settings)
    rows = list(comparison.exact())
    yield from rows
    cudnn = torch.backends.cudnn
    if settings.on_gpu and cudnn.allow_tf32 and not all(row.holds for row in rows):
        cudnn.allow_tf32 = False  # to tell rounding of the GPU's convolutions from an error of ours
        try:
            for row in comparison.exact():
                yield replace(row, form=f"{row.form}, convolutions without TF32")
        finally:
            cudnn.allow_tf32 = True
    yield from comparison.half()


class _Goldens:
    """A detector of the authors' size against the outputs of the original code."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._name, self._settings = name, settings

    def exact(self) -> Iterator[Row]:
        for golden in GOLDENS[self._name]:
            for what, _, relative in differences(golden(device=self._settings.device)):
                bound = LOGITS if what.endswith("logits") else EXACT
                figures = {"difference": relative, "bound": bound}
                output = what.removeprefix(f"{self._name} ")
                yield Row(self._name, "float32", output, figures, _holds(figures), GOLDEN, "golden")

    def half(self) -> Iterator[Row]:
        name, precision = self._name, self._settings.half
        case, image, wanted = _CASES.get(name, ("network_golden", "image", "anomaly"))
        data = np.load(golden_errors.GOLDENS / name / f"{case}.npz")
        options: dict[str, Any] = {} if name == "rpl" else {"input_size": None}
        detector = golden_detector(name, self._settings.device, precision=precision, **options)
        figures = _mean_difference(detector.score(data[image]), data[wanted], GOLDEN_HALF)
        yield Row(name, precision, "anomaly", figures, _holds(figures), GOLDEN, "golden")


class _Itself:
    """A detector against itself in float32 on the CPU; `embedded` against ONNX Runtime."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._name, self._settings = name, settings
        self._image = draw_street(64, 96) if settings.tiny else draw_street(256, 512)
        self._options = {} if name in ("embedded", "semantic") else {"input_size": None}
        self._expected = self._score("cpu")
        self._note = "no golden: itself on the CPU"
        if name == "embedded":
            self._note = "no golden: ONNX Runtime on the CPU"
        elif not settings.on_gpu:
            self._note += ", which is this device"

    def exact(self) -> Iterator[Row]:
        if self._name == "embedded":
            detector = load_detector("embedded", TORCH_WEIGHTS, self._settings.device)
            ours = detector.score(self._image)
        else:
            ours = self._score(self._settings.device)
        magnitude = max(float(np.abs(self._expected).max()), 1e-9)
        difference = float(np.abs(ours - self._expected).max()) / magnitude
        yield self._row("float32", {"difference": difference, "bound": EXACT})

    def half(self) -> Iterator[Row]:
        precision = self._settings.half
        if not has_half(self._name, self._settings):
            return
        ours = self._score(self._settings.device, precision=precision)
        yield self._row(precision, _mean_difference(ours, self._expected, HALF_BOUNDS[precision]))

    def _score(self, device: str, **options: Any) -> ScoreMap:
        options = {**self._options, **options}
        detector = models.detector(self._name, device, self._settings.tiny, **options)
        return detector.score(self._image)

    def _row(self, form: str, figures: dict[str, float]) -> Row:
        height, width = self._image.shape[:2]
        kind = models.weights(self._name, self._settings.tiny)
        size = f"{width}x{height}"
        return Row(self._name, form, size, figures, _holds(figures), kind, self._note)


def has_half(name: str, settings: Settings) -> bool:
    """Tell whether a detector has half precision on the device."""
    return name != "semantic" and (name != "embedded" or settings.on_gpu)


def _holds(figures: dict[str, float]) -> bool:
    return figures["difference"] <= figures["bound"]


def _mean_difference(ours: ScoreMap, expected: ScoreMap, bound: float) -> dict[str, float]:
    difference = float(np.abs(ours - expected).mean()) / max(float(np.ptp(expected)), 1e-9)
    return {"difference": difference, "bound": bound}
