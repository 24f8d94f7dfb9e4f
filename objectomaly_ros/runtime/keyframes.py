"""Input and output of mask generation: keyframes, their masks, and failures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from objectomaly_ros.oasc import Overlap
from objectomaly_ros.types import FrameLabels, Image, ScoreMap
from objectomaly_ros.video.cells import Cells

WARM_UP_SHAPE = (360, 640, 3)
"""Of the pictures with which detector and mask generator warm up."""


@dataclass(frozen=True, eq=False)
class Keyframe:
    """An image for which masks are generated.

    Attributes:
        camera: name of the camera.
        epoch: the refiner's memory that the masks belong to; masks of an earlier one are dropped.
        number: of the image since the camera's first, images that were dropped included.
        time_s: image time in seconds (`ImageClock.time_s`).
        image: (H, W, 3) uint8 RGB.
        score: coarse score, (H, W) float32.
        track: return value of `MaskPropagator.start`.
    """

    camera: str
    epoch: int
    number: int
    time_s: float
    image: Image
    score: ScoreMap
    track: int | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """A keyframe and its masks; None if it was skipped or the generator failed."""

    keyframe: Keyframe
    masks: KeyframeMasks | None


class MaskGeneratorError(RuntimeError):
    """Masks could not be generated; the message says why."""


@dataclass(frozen=True)
class MaskGeneratorSpec:
    """Which mask generator to load, and how its masks overlap.

    Attributes:
        name, checkpoint, device, options: as `load_mask_generator` takes them.
        overlap: the rule of OASC, see `rule_for`; None for the generator's own.
    """

    name: str
    checkpoint: str | None = None
    device: str = "cpu"
    options: dict[str, Any] = field(default_factory=dict)
    overlap: Overlap | None = None


@dataclass(frozen=True)
class KeyframeMasks:
    """The masks of one keyframe, ready for OASC.

    Attributes:
        cells: of the keyframe's shape.
        count: number of masks that have a pixel.
        seconds: time that generating them took.
        frame_superpixels: makes superpixels of later frames, to be fused with these masks; None
            for no fusion.
    """

    cells: Cells
    count: int
    seconds: float
    frame_superpixels: FrameLabels | None = None


@dataclass(frozen=True)
class Failure:
    """An error of the mask process, in words."""

    text: str
