"""What mask generation takes and gives: keyframes, their masks, and failures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from objectomaly_ros.oasc import Overlap
from objectomaly_ros.types import FrameLabels, Image, ScoreMap
from objectomaly_ros.video.cells import Cells


@dataclass(frozen=True, eq=False)
class Keyframe:
    """An image whose masks are wanted.

    Attributes:
        camera: name of the camera.
        epoch: counts the clock jumps of that camera, so that late masks of before are known.
        number: of the image since the camera's first, images that were dropped included.
        time_s: image time in seconds (`CameraState.time_s`).
        image: (H, W, 3) uint8 RGB.
        score: coarse score, (H, W) float32.
        track: what the mask propagator gave for it.
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
    """What became of a keyframe: its masks, or None if it was skipped or the generator failed."""

    keyframe: Keyframe
    masks: KeyframeMasks | None


class MaskGeneratorError(RuntimeError):
    """Masks could not be generated; the message says why."""


@dataclass(frozen=True)
class MaskGeneratorSpec:
    """Which mask generator to load, and how its masks overlap.

    Attributes:
        name, checkpoint, device, options: as `load_mask_generator` takes them.
        overlap: the rule of OASC, see `rule_for`; None for what the generator recommends.
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
        seconds: that generating them took.
        frame_superpixels: makes quick masks of the frames after, to be fused with these; None for
            none.
    """

    cells: Cells
    count: int
    seconds: float
    frame_superpixels: FrameLabels | None = None


@dataclass(frozen=True)
class Failure:
    """What went wrong in the other process, in words."""

    text: str
