"""Refinement with the masks of the keyframes before and after a frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from objectomaly_ros.mbp import refine_boundary
from objectomaly_ros.oasc import OascRule
from objectomaly_ros.types import (
    Detection,
    FrameLabels,
    Image,
    MaskGenerator,
    RenewsMasks,
    ScoreMap,
)
from objectomaly_ros.video.cells import Cells, calibrate_between
from objectomaly_ros.video.mask_set import cells, find_masks
from objectomaly_ros.video.optical_flow import FlowPropagation


@dataclass(frozen=True, eq=False)
class Frame:
    """A scored frame.

    Attributes:
        index: in the plan.
        time_s: of the image in seconds.
        image: (H, W, 3) uint8 RGB.
        frame_id: of the camera.
        detection: with the coarse score.
    """

    index: int
    time_s: float
    image: Image
    frame_id: str
    detection: Detection


class Refined(NamedTuple):
    """A frame and its best score, (H, W) float32; whether masks refined it."""

    frame: Frame
    score: ScoreMap
    refined: bool


@dataclass(frozen=True, eq=False)
class Keyframe:
    """A frame and its masks, ready for OASC."""

    frame: Frame
    cells: Cells


class BlockRefiner:
    """Refines the frames of a block.

    Args:
        generator: makes the masks of keyframes; None to refine nothing.
        rule: how OASC uses them.
    """

    def __init__(self, generator: MaskGenerator | None, rule: OascRule) -> None:
        self._generator = generator
        self._rule = rule
        self._superpixels: FrameLabels | None = None
        if rule.overlap == "inverse_variance" and isinstance(generator, RenewsMasks):
            self._superpixels = generator.frame_superpixels

    def keyframe(self, frame: Frame) -> Keyframe | None:
        """Make the masks of a frame; None if there is no generator."""
        if self._generator is None:
            return None
        masks = find_masks(self._generator, frame.image, frame.detection.score)
        height, width = frame.image.shape[:2]
        return Keyframe(frame, cells(masks, (height, width), self._rule))

    def refine(
        self, frames: Sequence[Frame], before: Keyframe | None, after: Keyframe | None
    ) -> Iterator[Refined]:
        """Yield the refined frames of a block in order.

        Args:
            frames: of one size; the first is the keyframe.
            before: the masks of the first frame; None to refine nothing.
            after: the masks of the frame that follows the last one; None if there is none.
        """
        if before is None:
            yield from (Refined(frame, frame.detection.score, False) for frame in frames)
            return
        score = before.cells.calibrate(before.frame.detection.score)
        yield Refined(before.frame, refine_boundary(score), True)
        if len(frames) == 1:
            return
        later = _carried_back(frames[1:], after) if after is not None else []
        flow = FlowPropagation()
        flow.step(before.frame.image)
        track = flow.start()
        for frame in frames[1:]:
            flow.step(frame.image)
            moved = before.cells.with_ids(flow.warp(track, before.cells.ids))
            near = moved, frame.time_s - before.frame.time_s
            own = self._own_cells(frame.image)
            if after is not None:
                far = after.cells.with_ids(later.pop()), after.frame.time_s - frame.time_s
                calibrated = calibrate_between(frame.detection.score, near, far, own)
            else:
                calibrated = moved.calibrate(frame.detection.score, near[1], own)
            yield Refined(frame, refine_boundary(calibrated), True)

    def _own_cells(self, image: Image) -> Cells | None:
        if self._superpixels is None:
            return None
        height, width = image.shape[:2]
        labels = self._superpixels.label_maps(image)
        return Cells.from_label_maps(labels, (height, width), rule=self._rule)


def _carried_back(frames: Sequence[Frame], after: Keyframe) -> list[npt.NDArray[np.int32]]:
    """Return the ids of `after` warped to the frames before it, the last frame's first."""
    flow = FlowPropagation()
    flow.step(after.frame.image)
    track = flow.start()
    found = []
    for frame in reversed(frames):
        flow.step(frame.image)
        found.append(flow.warp(track, after.cells.ids))
    return found
