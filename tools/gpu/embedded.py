"""The detector of the package on CUDA: torch, as the package runs it there, and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from objectomaly_ros.benchmark.street import draw_street
from objectomaly_ros.detectors import load_detector
from objectomaly_ros.detectors.embedded import TORCH_WEIGHTS, WEIGHTS, OnnxMaps
from objectomaly_ros.detectors.onnx_network import OrtNetwork
from objectomaly_ros.types import Image, ScoreMap
from tools.gpu.rows import PACKAGE, Budget, Row, Settings, Task
from tools.gpu.timing import measure as timed

CUDA = "CUDAExecutionProvider"
BOUND = 1e-5


def measure(task: Task, settings: Settings, budget: Budget) -> Iterator[Row]:
    """Time the detector on ONNX Runtime's CPU, on torch, and its network on ONNX Runtime's CUDA."""
    size, shape = next(iter(settings.sizes.items()))
    image = draw_street(*shape)
    reference = load_detector("embedded")
    yield Row("embedded", "ONNX Runtime, CPU", size,
              timed(lambda: reference.score(image), settings, budget.left() / 4), weights=PACKAGE,
              note="the reference of the other rows")  # fmt: skip
    expected = reference.score(image)
    detector = load_detector("embedded", TORCH_WEIGHTS, settings.device)
    difference = float(np.abs(detector.score(image) - expected).max())
    figures = {"difference": difference, "bound": BOUND}
    figures |= timed(lambda: detector.score(image), settings, budget.left() / 3)
    yield Row("embedded", f"torch, {settings.device}, float32", size, figures, difference <= BOUND,
              weights=PACKAGE)  # fmt: skip
    if settings.on_gpu:
        half = load_detector("embedded", device=settings.device, precision="float16")
        yield Row("embedded", f"torch, {settings.device}, float16", size,
                  timed(lambda: half.score(image), settings, budget.left() / 2),
                  weights=PACKAGE)  # fmt: skip
    yield from _onnx_cuda(image, expected, size, settings, budget)


def _onnx_cuda(
    image: Image, expected: ScoreMap, size: str, settings: Settings, budget: Budget
) -> Iterator[Row]:
    import onnxruntime

    if CUDA not in onnxruntime.get_available_providers():
        yield Row("embedded", "ONNX Runtime, CUDA", note="not there: this onnxruntime has no CUDA "
                  "provider (onnxruntime-gpu has); the package uses torch on a GPU")  # fmt: skip
        return
    network = OrtNetwork(WEIGHTS, cuda=True)
    if CUDA not in network._session.get_providers():
        yield Row("embedded", "ONNX Runtime, CUDA", note="its CUDA provider does not load here")
        return
    detector = load_detector("embedded")
    vars(detector)["_network"] = OnnxMaps(WEIGHTS, network)
    figures = {"difference": float(np.abs(detector.score(image) - expected).max())}
    figures |= timed(lambda: detector.score(image), settings, budget.left())
    del figures["peak MB"]  # torch does not see it
    yield Row("embedded", "ONNX Runtime, CUDA", size, figures, weights=PACKAGE,
              note="tried here alone: the package uses torch on a GPU")  # fmt: skip
