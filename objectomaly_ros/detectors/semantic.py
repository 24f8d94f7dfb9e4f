"""Any per-pixel segmentation network, exported as ONNX or TorchScript, as an anomaly detector."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from objectomaly_ros.arrays.checks import check_image
from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.torchscript import load_torchscript
from objectomaly_ros.detectors import pixel_rules
from objectomaly_ros.detectors.onnx_network import OrtNetwork
from objectomaly_ros.detectors.preprocessing import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    InputSize,
    network_size,
    normalised,
    resize,
    size_policy,
)
from objectomaly_ros.models.devices import device_of
from objectomaly_ros.types import Detection, Image, ScoreMap

_Network = Callable[[torch.Tensor], torch.Tensor]


class SemanticDetector:
    """Scores images by how unsure a closed-set segmentation network is.

    The network takes (1, 3, h, w) float32. It returns logits (1, K, h', w'), which are resized to
    the image: alone, first in a tuple, or as `out` or `logits` of a dictionary.

    Args:
        checkpoint: an ONNX model (.onnx; needs onnxruntime), or a TorchScript archive (.pt, .ts)
            of tensor arithmetic. Prefer ONNX: it cannot hold code.
        device: torch device; for ONNX `cuda` asks for its CUDA provider.
        rule: `msp`, `max_logit`, `entropy` or `energy`, see `pixel_rules`.
        road: the index of the drivable class (Cityscapes: 0), or None if there is none.
        input_size: see `preprocessing.InputSize`; `published` is the image's own size here.
        mean: of the RGB values, 0..255; they are normalised with it.
        std: of the RGB values.
        multiple: sides are padded with zeros to a multiple of this.
        threads: of the CPU for an ONNX model, see `onnx_network.load_onnx`.

    Raises:
        CheckpointError: the file is missing or no such model, or it may read or write files.
        ImportError: an ONNX model without onnxruntime.
        ValueError: no such rule or device, or an option is out of its range.
    """

    def __init__(
        self,
        checkpoint: str | Path | None = None,
        device: str = "cpu",
        *,
        rule: str = "msp",
        road: int | None = 0,
        input_size: InputSize = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        multiple: int = 1,
        threads: int | None = None,
    ) -> None:
        self._rule = pixel_rules.find_rule(rule)
        if len(mean) != 3 or len(std) != 3 or multiple < 1:
            raise ValueError(
                "mean and std must be three numbers, one a channel, and multiple at least 1; got "
                f"{mean!r}, {std!r} and {multiple!r}"
            )
        self._policy = size_policy(input_size, None)
        if checkpoint is None or not Path(checkpoint).is_file():
            raise CheckpointError(
                f"semantic needs an ONNX or TorchScript file as checkpoint; {checkpoint} is none"
            )
        self._device = device_of(device)
        self._network = _load(Path(checkpoint), self._device, threads)
        self._road = road
        self._mean, self._std = tuple(mean), tuple(std)
        self._multiple = multiple

    def score(self, image: Image) -> ScoreMap:
        """Return the anomaly score of an RGB image, (H, W) float32; its range is the rule's."""
        scores: ScoreMap = self.score_tensor(image).cpu().numpy()
        return scores

    def score_tensor(self, image: Image) -> torch.Tensor:
        """Return the anomaly score as a tensor on the detector's device."""
        return self._rule(self._logits(image))

    def detect(self, image: Image) -> Detection:
        """Return the score, and as road all pixels whose strongest class is `road`."""
        logits = self._logits(image)
        if self._road is not None and not 0 <= self._road < len(logits):
            raise ValueError(
                f"road is class {self._road!r}, but the network has the classes 0 to "
                f"{len(logits) - 1}; give the drivable one, or null if there is none"
            )
        road = None if self._road is None else (logits.argmax(0) == self._road).cpu().numpy()
        return Detection(self._rule(logits).cpu().numpy(), road)

    @torch.inference_mode()
    def _logits(self, image: Image) -> torch.Tensor:
        """Return the logits, (K, H, W) float32 at the image's size."""
        check_image(image)
        shape = image.shape[0], image.shape[1]
        size = network_size(shape, self._policy)
        pixels = normalised(
            resize(image, size),
            self._device,
            multiple=self._multiple,
            mean=self._mean,
            std=self._std,
        )
        padded = int(pixels.shape[2]), int(pixels.shape[3])
        logits = pixel_rules.resized(self._network(pixels)[0].float(), padded)
        return pixel_rules.resized(logits[:, : size[0], : size[1]], shape)


def _load(path: Path, device: torch.device, threads: int | None) -> _Network:
    if path.suffix.lower() == ".onnx":
        return _load_onnx(path, device, threads)
    module = load_torchscript(path, device)
    return lambda pixels: _logits(module(pixels), path)


def _load_onnx(path: Path, device: torch.device, threads: int | None) -> _Network:
    try:
        network = OrtNetwork(path, threads=threads, cuda=device.type == "cuda")
    except ImportError as error:
        raise ImportError(
            f"{path} is an ONNX model, and onnxruntime does not import: `pip install onnxruntime` "
            "(or onnxruntime-gpu), or export the network as TorchScript"
        ) from error

    def run(pixels: torch.Tensor) -> torch.Tensor:
        for side, given in zip(network.shape, pixels.shape, strict=True):
            if isinstance(side, int) and side != given:  # a text stands for any size
                raise ValueError(
                    f"{path} takes inputs of {network.shape}, this one is {list(pixels.shape)}: "
                    "give the option input_size=[height, width], or export it with dynamic sizes"
                )
        return _logits(torch.from_numpy(network(pixels.cpu().numpy())).to(device), path)

    return run


def _logits(output: Any, path: Path) -> torch.Tensor:
    """Return the logits among the outputs of a network."""
    if isinstance(output, Mapping):
        output = output.get("out", output.get("logits"))
    elif isinstance(output, tuple | list):
        output = output[0]
    if not isinstance(output, torch.Tensor) or output.ndim != 4 or output.shape[1] < 2:
        found = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise CheckpointError(
            f"{path} returned {found}; expected logits of 2 classes or more, (1, K, h, w)"
        )
    return output
