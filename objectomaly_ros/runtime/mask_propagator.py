"""Masks between keyframes: moved with the image, held still, or used on one frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from objectomaly_ros.runtime.keyframes import Keyframe, KeyframeMasks
from objectomaly_ros.types import Image, ScoreMap
from objectomaly_ros.video.cells import Cells
from objectomaly_ros.video.optical_flow import FlowPropagation

Propagation = Literal["flow", "hold", "none"]


@dataclass(frozen=True, eq=False)
class Current:
    """The masks in use on the current frame.

    Attributes:
        keyframe: the masks' keyframe.
        masks: its masks.
        cells: the masks warped to the current frame.
        image: the current frame, (H, W, 3) uint8.
    """

    keyframe: Keyframe
    masks: KeyframeMasks
    cells: Cells
    image: Image

    def calibrate(self, score: ScoreMap, age_s: float) -> ScoreMap:
        """Return OASC of the frame's `score`, (H, W), with masks that are `age_s` seconds old."""
        frame_cells = None
        if self.masks.frame_superpixels is not None:
            labels = self.masks.frame_superpixels.label_maps(self.image)
            shape = (score.shape[0], score.shape[1])
            frame_cells = Cells.from_label_maps(labels, shape, rule=self.cells.rule)
        return self.cells.calibrate(score, age_s, frame_cells)


class MaskPropagator:
    """Propagates one camera's masks from their keyframe to the frames after it.

    Masks are ready some frames after their keyframe. The mode says how they are used until newer
    ones are ready:
        flow: the optical flow of the image moves them from the keyframe to each frame;
        hold: they stay in place, for a camera that stands still;
        none: they stay in place and are used once, on the first frame after they are ready.

    Used by the refinement thread only.
    """

    def __init__(self) -> None:
        self.mode: Propagation = "flow"  # may change from frame to frame
        self._flow = FlowPropagation()
        self._in_use: tuple[Keyframe, KeyframeMasks] | None = None

    def step(self, image: Image) -> None:
        """Take the next frame."""
        if self.mode == "flow":
            self._flow.step(image)

    def start(self) -> int | None:
        """Make the current frame a keyframe; return its `Keyframe.track`."""
        return self._flow.start() if self.mode == "flow" else None

    def adopt(self, keyframe: Keyframe, masks: KeyframeMasks) -> None:
        """Use these masks from now on."""
        self._drop_masks()
        self._in_use = keyframe, masks

    def drop(self, keyframe: Keyframe) -> None:
        """Stop tracking a keyframe that has no masks."""
        if keyframe.track is not None:
            self._flow.drop(keyframe.track)

    def current(self, image: Image) -> Current | None:
        """Return the masks in use on the current frame, (H, W, 3); None without any."""
        if self._in_use is None:
            return None
        keyframe, masks = self._in_use
        cells, track = masks.cells, keyframe.track
        if cells.ids.shape != image.shape[:2]:  # the camera changed its resolution meanwhile
            self._drop_masks()
            return None
        if self.mode == "none":
            self._drop_masks()
        elif self.mode == "flow" and track is not None:
            if track not in self._flow:
                self._drop_masks()
                return None
            cells = cells.with_ids(self._flow.warp(track, cells.ids))
        return Current(keyframe, masks, cells, image)

    def peek(self, image: Image) -> Current | None:
        """Return the masks of the newest frame for an older one, (H, W, 3); change nothing."""
        if self._in_use is None or self.mode == "none":
            return None
        keyframe, masks = self._in_use
        usable = self.mode == "hold" or keyframe.track is None or keyframe.track in self._flow
        if not usable or masks.cells.ids.shape != image.shape[:2]:
            return None
        return self.current(image)

    def reset(self) -> None:
        """Forget all masks, after a clock jump or for a new recording."""
        self._flow.reset()
        self._in_use = None

    def _drop_masks(self) -> None:
        if self._in_use is not None:
            self.drop(self._in_use[0])
            self._in_use = None
