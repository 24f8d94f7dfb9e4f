"""Networks in ONNX files, run by ONNX Runtime or by OpenCV; which of them is hidden here."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.onnx_files import check_onnx

Sizes = Mapping[str, Sequence[int]]
"""Further inputs of a network by name, int64 vectors."""


class OnnxNetwork(Protocol):
    """A network that is called from any thread.

    Attributes:
        outputs: their names, the main one first.
    """

    outputs: tuple[str, ...]

    def __call__(
        self, pixels: npt.NDArray[np.float32], sizes: Sizes = ...
    ) -> npt.NDArray[np.float32]:
        """Return the first output for the first input."""
        ...

    def run(
        self, pixels: npt.NDArray[np.float32], sizes: Sizes, outputs: Sequence[str]
    ) -> list[npt.NDArray[np.float32]]:
        """Return the named outputs; others are not computed."""
        ...


def load_onnx(path: Path, *, threads: int | None = None) -> OnnxNetwork:
    """Load a network: with ONNX Runtime if that is installed, else with OpenCV.

    For files of this package alone; `OrtNetwork` takes any. OpenCV 4.6 computes some operators
    wrong, and its reader (5.0 too) crashes on some damaged files.

    Args:
        path: of the .onnx file.
        threads: of the CPU for one call; None for OMP_NUM_THREADS, or else all cores of this
            process. OpenCV has one number for the whole process: None leaves it as it is.

    Raises:
        CheckpointError: the file is no network that the runtime can run, or is refused, see
            `check_onnx`.
    """
    try:
        return OrtNetwork(path, threads=threads)
    except ImportError:
        from objectomaly_ros.detectors.opencv_network import OpenCvNetwork

        return OpenCvNetwork(path, threads=threads)


class OrtNetwork:
    """A network on ONNX Runtime.

    Args:
        path: see `load_onnx`, as `threads`.
        cuda: use its CUDA provider.

    Attributes:
        shape: of the first input; a side that may have any length is a text or None.
        outputs: see `OnnxNetwork`.

    Raises:
        ImportError: onnxruntime is not installed.
        CheckpointError: see `load_onnx`.
    """

    def __init__(self, path: Path, *, threads: int | None = None, cuda: bool = False) -> None:
        # By default it writes an id to ~/.cache and sends events to its maker.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = default_threads() if threads is None else threads
        options.inter_op_num_threads = 1
        # Threads that spin while they wait take the time of the node's other threads.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_mem_pattern = False  # it keeps a plan of the memory for every input size
        options.log_severity_level = 3  # errors
        providers = [*(["CUDAExecutionProvider"] if cuda else []), "CPUExecutionProvider"]
        try:
            check_onnx(path)
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
            entry = self._session.get_inputs()[0]
            self._name: str = entry.name
            self.shape: list[int | str | None] = entry.shape  # fails on names that are no UTF-8
            self.outputs = tuple(output.name for output in self._session.get_outputs())
        except CheckpointError:
            raise
        except Exception as error:  # onnxruntime has a class of its own for every kind of failure
            raise CheckpointError(
                f"{path} is not a model that onnxruntime can run: {error}"
            ) from error

    def __call__(
        self, pixels: npt.NDArray[np.float32], sizes: Sizes | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the first output."""
        return self.run(pixels, sizes or {}, self.outputs[:1])[0]

    def run(
        self, pixels: npt.NDArray[np.float32], sizes: Sizes, outputs: Sequence[str]
    ) -> list[npt.NDArray[np.float32]]:
        """See `OnnxNetwork`."""
        vectors = {name: np.array(size, np.int64) for name, size in sizes.items()}
        found = self._session.run(list(outputs), {self._name: pixels, **vectors})
        return [np.asarray(output) for output in found]


def default_threads() -> int:
    """Return OMP_NUM_THREADS, which torch obeys too, or else the number of usable cores."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    return len(os.sched_getaffinity(0))
