"""Detectors on a mask-classification network: Mask2Anomaly, RbA, UNO, EAM, Maskomaly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from objectomaly_ros.arrays.checks import check_image
from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.names import by_their_ends, canonical, check_owner
from objectomaly_ros.checkpoints.reading import read_content
from objectomaly_ros.detectors import architectures, score_rules
from objectomaly_ros.detectors.architectures import Architecture
from objectomaly_ros.detectors.mask2former import Mask2FormerNetwork
from objectomaly_ros.detectors.name_conversion import load_official, official_names
from objectomaly_ros.detectors.preprocessing import (
    InputSize,
    network_size,
    normalised,
    resize,
    size_policy,
)
from objectomaly_ros.detectors.score_rules import Geometry
from objectomaly_ros.models.devices import Precision, autocast, check_precision, device_of, placed
from objectomaly_ros.types import Detection, Image, ScoreMap

Rule = Callable[[torch.Tensor, torch.Tensor, Geometry], torch.Tensor]

_ROAD = 0
_CITYSCAPES_CLASSES = 19


@dataclass(frozen=True)
class Recipe:
    """How the authors of a detector use its network.

    Attributes:
        architectures: of its checkpoints.
        rule: the anomaly score.
        input_size: the published size policy.
        flip: the published score is averaged with that of the mirrored image.
    """

    architectures: tuple[Architecture, ...]
    rule: Rule
    input_size: int | None
    flip: bool = False


RECIPES = {
    "mask2anomaly": Recipe(
        (architectures.MASK2ANOMALY,), score_rules.mask2anomaly, 1024, flip=True
    ),
    "rba": Recipe((architectures.RBA_SWIN_B, architectures.RBA_SWIN_L), score_rules.rba, None),
    "uno": Recipe((architectures.UNO,), score_rules.uno, 1024),
    "eam": Recipe((architectures.SWIN_L,), score_rules.eam, 1024),
    "maskomaly": Recipe((architectures.SWIN_L,), score_rules.maskomaly, 1024),
}


class MaskClassificationDetector:
    """Scores images by the masks and classes that a network predicts.

    Args:
        name: a key of `RECIPES`.
        checkpoint: the file of the authors, or the network with its weights.
        device: torch device, such as `cpu`, `cuda`, `cuda:1`.
        precision: of the network's matrix products; scores are always float32.
        flip: average with the score of the mirrored image; default as published.
        input_size: see `preprocessing.InputSize`; default as published.
        compiled: run the network through `torch.compile`; the first image of every size then takes
            minutes.

    Raises:
        CheckpointError: the file is missing, unsafe, damaged, or of another detector.
        ValueError: there is no such device, or an option has a wrong value; checked before the file
            is read.
    """

    def __init__(
        self,
        name: str,
        checkpoint: str | Path | Mask2FormerNetwork | None = None,
        device: str = "cpu",
        *,
        precision: Precision = "float32",
        flip: bool | None = None,
        input_size: InputSize = "published",
        compiled: bool = False,
    ) -> None:
        recipe = RECIPES[name]
        check_precision(precision)
        self._device = device_of(device)
        self._precision: Precision = precision
        self._rule = recipe.rule
        self._flip = recipe.flip if flip is None else flip
        self._policy = size_policy(input_size, recipe.input_size)
        network = (
            checkpoint
            if isinstance(checkpoint, Mask2FormerNetwork)
            else _load(name, checkpoint, recipe.architectures)
        )
        self._network = placed(network, self._device, compiled=compiled)

    def score(self, image: Image) -> ScoreMap:
        """Return the anomaly score of an RGB image, (H, W) float32; its range is the rule's."""
        scores: ScoreMap = self.score_tensor(image).cpu().numpy()
        return scores

    def score_tensor(self, image: Image) -> torch.Tensor:
        """Return the anomaly score as a tensor on the detector's device."""
        check_image(image)
        with torch.inference_mode():
            return self._mean_score(image, *self.predict(image))

    def detect(self, image: Image) -> Detection:
        """Return the score, and as road all pixels whose strongest class is road."""
        check_image(image)
        with torch.inference_mode():
            classes, masks, geometry = self.predict(image)
            score = self._mean_score(image, classes, masks, geometry)
            maps = score_rules.semantic_maps(classes, masks, geometry, classes=_CITYSCAPES_CLASSES)
            road = maps.argmax(0) == _ROAD
        return Detection(score.cpu().numpy(), road.cpu().numpy())

    def predict(self, image: Image) -> tuple[torch.Tensor, torch.Tensor, Geometry]:
        """Return class logits (Q, K+1), mask logits (Q, h, w), and the sizes on the way back."""
        shape = image.shape[0], image.shape[1]
        size = network_size(shape, self._policy)
        pixels = normalised(resize(image, size), self._device, multiple=32)
        with torch.inference_mode(), autocast(self._device, self._precision):
            prediction = self._network(pixels)
        padded = int(pixels.shape[2]), int(pixels.shape[3])
        return (
            prediction.class_logits[0].float(),
            prediction.mask_logits[0].float(),
            Geometry(padded, size, shape),
        )

    def _mean_score(
        self, image: Image, classes: torch.Tensor, masks: torch.Tensor, geometry: Geometry
    ) -> torch.Tensor:
        score = self._rule(classes, masks, geometry)
        if not self._flip:
            return score
        mirrored = self._rule(*self.predict(np.ascontiguousarray(image[:, ::-1])))
        return (score + mirrored.flip(1)) / 2


def _load(
    name: str, checkpoint: str | Path | None, known: tuple[Architecture, ...]
) -> Mask2FormerNetwork:
    if checkpoint is None:
        raise CheckpointError(
            f"{name} needs a checkpoint; `objectomaly checkpoints list` says where to get it"
        )
    content = read_content(checkpoint)
    tensors = canonical(content.tensors)
    if content.match_ends:  # the architectures of a recipe share their names
        expected = official_names(Mask2FormerNetwork(known[0]))
        tensors = by_their_ends(tensors, expected, str(checkpoint))
    check_owner(name, tensors, str(checkpoint))
    network = Mask2FormerNetwork(_best_fit(known, tensors))
    load_official(network, tensors, str(checkpoint))
    return network


mask2anomaly = partial(MaskClassificationDetector, "mask2anomaly")
rba = partial(MaskClassificationDetector, "rba")
uno = partial(MaskClassificationDetector, "uno")
eam = partial(MaskClassificationDetector, "eam")
maskomaly = partial(MaskClassificationDetector, "maskomaly")


def _best_fit(known: tuple[Architecture, ...], tensors: dict[str, torch.Tensor]) -> Architecture:
    """Choose by the width of the backbone's first layer; if none fits, loading names the misfit."""
    stem = tensors.get("backbone.patch_embed.proj.weight")
    fitting = [a for a in known if stem is not None and a.width == stem.shape[0]]
    return fitting[0] if fitting else known[0]
