"""Types that the stages of the pipeline hand to each other, and the optional abilities of models.

A detector needs only `score`, a mask generator only `generate`. Each further ability is a protocol,
found with `isinstance`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Image: TypeAlias = npt.NDArray[np.uint8]
"""An RGB image, (H, W, 3) uint8."""

ScoreMap: TypeAlias = npt.NDArray[np.float32]
"""An anomaly score per pixel, (H, W) float32; higher is more anomalous, any range."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""One region, (H, W) bool."""

Masks: TypeAlias = npt.NDArray[np.bool_]
"""N regions, (N, h, w) bool, at any resolution."""

LabelMaps: TypeAlias = npt.NDArray[np.int32]
"""T divisions of an image, (T, h, w) int32: the region of every pixel, -1 for none."""


@dataclass(frozen=True)
class Detection:
    """A detector's result for one image.

    Attributes:
        score: anomaly score, (H, W) float32.
        road: drivable ground, (H, W) bool; None if the detector does not know it.
        strangeness: above 1 if the image is unlike those of the training; None if not known.
    """

    score: ScoreMap
    road: Mask | None = None
    strangeness: float | None = None


@dataclass(frozen=True, eq=False)
class MaskSet:
    """The masks of one image, in the fastest form of their generator.

    Attributes:
        data: (N, h, w) bool, an array or a torch tensor on its device; or `LabelMaps`, whose every
            region is a mask.
        areas: (N,) on the host, by which masks rank; their pixel counts if None.
        boxes: (N, 4) x, y, width, height on the host, each holding its whole mask; found in the
            masks if None.
    """

    data: Masks | LabelMaps | torch.Tensor
    areas: npt.NDArray[np.integer] | None = None
    boxes: npt.NDArray[np.integer] | None = None


class Detector(Protocol):
    """The coarse stage (CAS): scores every pixel of an image for anomaly."""

    def score(self, image: Image) -> ScoreMap:
        """Return the anomaly score of `image`, (H, W) float32."""
        ...


class MaskGenerator(Protocol):
    """A source of class-agnostic object masks."""

    def generate(self, image: Image, score: ScoreMap | None = None) -> Masks:
        """Return the masks of `image`, (N, h, w) bool; `score` may guide the search."""
        ...


@runtime_checkable
class SeesRoad(Protocol):
    """A detector that also knows the road: `detect` returns both in one pass."""

    def detect(self, image: Image) -> Detection: ...


@runtime_checkable
class HasThreshold(Protocol):
    """A detector that knows the score above which a pixel is an obstacle."""

    threshold: float


@runtime_checkable
class ScoresOnDevice(Protocol):
    """A detector that leaves its score on its device: (H, W) float32."""

    def score_tensor(self, image: Image) -> torch.Tensor: ...


@runtime_checkable
class Adaptable(Protocol):
    """A detector that trades accuracy for time, between two frames."""

    def step_down(self) -> str | None:
        """Become one step quicker; return what changed, None at the last step."""
        ...

    def restore(self) -> None:
        """Become as it was loaded."""
        ...


@runtime_checkable
class SelectsByName(Protocol):
    """A detector whose next score is that of the image called `name`."""

    def select(self, name: str) -> None: ...


@runtime_checkable
class HasCheckpoint(Protocol):
    """A model that knows the file of its weights, also of the default ones."""

    checkpoint: str | Path | None


@runtime_checkable
class FindsMaskSets(Protocol):
    """A mask generator with a faster form of its masks than an array of bool."""

    def find(self, image: Image, score: ScoreMap | torch.Tensor | None = None) -> MaskSet: ...


@runtime_checkable
class OnDevice(Protocol):
    """A model that runs on a torch device."""

    device: torch.device


@runtime_checkable
class FindsMaskSetsOnDevice(FindsMaskSets, OnDevice, Protocol):
    """A mask generator whose mask sets are tensors on its device."""


class FrameLabels(Protocol):
    """Makes label maps of every frame, quickly. Can be pickled."""

    def label_maps(self, image: Image) -> LabelMaps:
        """Return the regions of `image`."""
        ...


@runtime_checkable
class RenewsMasks(Protocol):
    """A mask generator with quick masks of every frame, to fuse with those of a keyframe."""

    frame_superpixels: FrameLabels | None
