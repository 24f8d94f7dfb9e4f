"""Types that the stages of the pipeline hand to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[np.uint8]
"""An RGB image, (H, W, 3) uint8."""

ScoreMap: TypeAlias = npt.NDArray[np.float32]
"""An anomaly score per pixel, (H, W) float32; higher is more anomalous, any range."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""One region, (H, W) bool."""

Masks: TypeAlias = npt.NDArray[np.bool_]
"""N regions, (N, h, w) bool, at any resolution."""

LabelMaps: TypeAlias = npt.NDArray[np.int32]
"""T divisions of an image into regions, (T, h, w) int32: the region of every pixel, -1 for none."""


class Detector(Protocol):
    """The coarse stage (CAS): scores every pixel of an image for anomaly.

    Optional: `detect(image) -> Detection`, for one that knows the road; and `score_tensor(image)`,
    the score as a (H, W) float32 torch tensor on the detector's device, for the refinement to go on
    there (`device_line`).
    """

    def score(self, image: Image) -> ScoreMap:
        """Return the anomaly score of `image`, (H, W) float32."""
        ...


class MaskGenerator(Protocol):
    """A source of class-agnostic object masks.

    Four attributes are optional. `recommended_rule`, an `OascRule`, says how OASC is to join its
    masks where the user does not. `label_maps(image, score=None) -> LabelMaps` gives the same
    masks as `generate`, one a region, much quicker to use where there are thousands. And
    `packed_masks(image, score=None) -> masks.sam.result.SamResult`, beside a `device`, gives them
    as bits on that torch device. `frame_superpixels`, a `FreshMasks` or None, makes quick masks
    of the frames after that.
    """

    def generate(self, image: Image, score: ScoreMap | None = None) -> Masks:
        """Return the masks of `image`, (N, h, w) bool; `score` may guide where to look."""
        ...


class FreshMasks(Protocol):
    """Makes masks that are quick enough for every frame; it can be pickled."""

    def label_maps(self, image: Image) -> LabelMaps:
        """Return the regions of `image`, (T, h, w) int32, see `LabelMaps`."""
        ...


@dataclass(frozen=True)
class Detection:
    """What a detector says of one image.

    Attributes:
        score: anomaly score, (H, W) float32.
        road: where the detector sees drivable ground, (H, W) bool; None if it does not know.
    """

    score: ScoreMap
    road: Mask | None = None
