"""RPL and RPL+CoroCL (arXiv 2211.14512): a frozen DeepLabV3+ with a residual anomaly block."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from objectomaly_ros.arrays.checks import check_image
from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.names import canonical, check_owner, load_tensors
from objectomaly_ros.checkpoints.reading import read_tensors
from objectomaly_ros.detectors import pixel_rules
from objectomaly_ros.detectors.preprocessing import (
    InputSize,
    network_size,
    normalised,
    resize,
    size_policy,
)
from objectomaly_ros.detectors.rpl_net import RplNetwork
from objectomaly_ros.models.devices import Precision, autocast, check_precision, device_of, placed
from objectomaly_ros.types import Detection, Image, ScoreMap

_ROAD = 0


class RplDetector:
    """Scores images by the energy of RPL's anomaly logits, smoothed as its authors do.

    Args:
        checkpoint: the file of the authors, or the network with its weights.
        device: torch device.
        rule: `energy` as published, or `entropy`.
        precision: of the network's convolutions; scores are always float32.
        flip: average with the score of the mirrored image; not published so.
        input_size: see `preprocessing.InputSize`; `published` is the image's own size.
        compiled: run the network through `torch.compile`.

    Raises:
        CheckpointError: the file is missing, unsafe, damaged, or of another detector.
        ValueError: there is no such device, or an option has a wrong value; checked before the file
            is read.
    """

    def __init__(
        self,
        checkpoint: str | Path | RplNetwork | None = None,
        device: str = "cpu",
        *,
        rule: Literal["energy", "entropy"] = "energy",
        precision: Precision = "float32",
        flip: bool = False,
        input_size: InputSize = "published",
        compiled: bool = False,
    ) -> None:
        if rule not in ("energy", "entropy"):
            raise ValueError(f"rpl scores by energy or entropy, not by {rule!r}")
        check_precision(precision)
        self._device = device_of(device)
        self._precision: Precision = precision
        self._rule = pixel_rules.RULES[rule]
        self._flip = flip
        self._policy = size_policy(input_size, None)
        network = checkpoint if isinstance(checkpoint, RplNetwork) else _load(checkpoint)
        self._network = placed(network, self._device, compiled=compiled)

    def score(self, image: Image) -> ScoreMap:
        """Return the anomaly score of an RGB image, (H, W) float32; energy has no bounds."""
        scores: ScoreMap = self.score_tensor(image).cpu().numpy()
        return scores

    def score_tensor(self, image: Image) -> torch.Tensor:
        """Return the anomaly score as a tensor on the detector's device."""
        check_image(image)
        return self._mean_score(image, self._logits(image)[1])

    def detect(self, image: Image) -> Detection:
        """Return the score, and as road all pixels that the closed-set network calls road."""
        check_image(image)
        vanilla, anomaly = self._logits(image)
        score = self._mean_score(image, anomaly)
        return Detection(score.cpu().numpy(), (vanilla.argmax(0) == _ROAD).cpu().numpy())

    @torch.inference_mode()
    def _mean_score(self, image: Image, anomaly: torch.Tensor) -> torch.Tensor:
        score = pixel_rules.smooth(self._rule(anomaly))
        if not self._flip:
            return score
        mirrored = self._logits(image[:, ::-1])[1]
        return (score + pixel_rules.smooth(self._rule(mirrored)).flip(1)) / 2

    @torch.inference_mode()
    def _logits(self, image: Image) -> tuple[torch.Tensor, torch.Tensor]:
        """Return closed-set and anomaly logits, each (19, H, W) float32 at the image's size."""
        shape = image.shape[0], image.shape[1]
        pixels = normalised(resize(image, network_size(shape, self._policy)), self._device)
        with autocast(self._device, self._precision):
            both = self._network(pixels)
        vanilla, anomaly = (pixel_rules.resized(logits[0].float(), shape) for logits in both)
        return vanilla, anomaly


def _load(checkpoint: str | Path | None) -> RplNetwork:
    if checkpoint is None:
        raise CheckpointError(
            "rpl needs a checkpoint; `objectomaly checkpoints list` says where to get it"
        )
    tensors = canonical(read_tensors(checkpoint))
    check_owner("rpl", tensors, str(checkpoint))
    network = RplNetwork()
    # Any further tensor is ignored: CoroCL's projection head serves training only.
    load_tensors(network, tensors, str(checkpoint), ignored=("",))
    return network
