"""The refined score of one camera: keyframes by cadence, masks propagated from them, OASC, MBP."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

from objectomaly_ros.mbp import refine_boundary
from objectomaly_ros.runtime.cadence import Cadence, CadenceSettings
from objectomaly_ros.runtime.keyframes import Keyframe
from objectomaly_ros.runtime.mask_propagator import MaskPropagator
from objectomaly_ros.runtime.mask_worker import MaskWorker
from objectomaly_ros.types import Image, ScoreMap

_EPOCHS = itertools.count()


@dataclass(frozen=True, eq=False)
class Refined:
    """The best score known of a frame, and the masks that refined it.

    Attributes:
        score: refined if `mask_count` is not None, else coarse.
        mask_count: number of masks; None if there are none, or only too old ones.
        age_frames: images of the camera since the masks' keyframe, also if they are too old; None
            without masks.
        age_s: seconds of image time since then; None without masks.
        propagation_s, oasc_s, mbp_s: seconds that the stages took; superpixels count as OASC.
    """

    score: ScoreMap
    mask_count: int | None = None
    age_frames: int | None = None
    age_s: float | None = None
    propagation_s: float = 0.0
    oasc_s: float = 0.0
    mbp_s: float = 0.0


class Refiner:
    """Refines the scores of one camera with its newest masks; never waits for masks.

    Used by the refinement thread, except `cadence.request`.
    """

    def __init__(
        self, camera: str, worker: MaskWorker, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.cadence = Cadence(CadenceSettings())
        self.propagator = MaskPropagator()
        self.max_age_s = 2.0  # may be replaced at any time, as may the cadence's settings
        self.last_generation_s: float | None = None  # seconds that the last masks took
        self.late_s: float | None = None  # age of masks that came on this frame, if too old to use
        self._camera = camera
        self._worker = worker
        self._clock = clock
        self._epoch = next(_EPOCHS)
        self._idle = True

    def refine(
        self, image: Image, coarse: ScoreMap, number: int, time_s: float, *, late: bool = False
    ) -> Refined:
        """Refine the next frame.

        Args:
            image: (H, W, 3) uint8 RGB.
            coarse: its coarse score, (H, W) float32.
            number: of the image since the camera's first, images that were dropped included.
            time_s: its image time in seconds (`ImageClock.time_s`).
            late: whether it is older than the frame before it. It is refined with the masks of
                the newest frame, and changes nothing.
        """
        self.late_s = None
        began = self._clock()
        if late:
            current = self.propagator.peek(image)
        else:
            self._idle = False
            self.propagator.step(image)
            self._take_masks(time_s)
            current = self.propagator.current(image)
        if not late and self.cadence.due(number, time_s):
            track = self.propagator.start()
            self._worker.submit(
                Keyframe(self._camera, self._epoch, number, time_s, image, coarse, track)
            )
        moved = self._clock()
        if current is None:
            return Refined(coarse, propagation_s=moved - began)
        age_frames = number - current.keyframe.number
        age_s = time_s - current.keyframe.time_s
        if age_s > self.max_age_s:
            return Refined(coarse, None, age_frames, age_s, propagation_s=moved - began)
        calibrated = current.calibrate(coarse, age_s)
        averaged = self._clock()
        return Refined(
            refine_boundary(calibrated),
            current.masks.count,
            age_frames,
            age_s,
            moved - began,
            averaged - moved,
            self._clock() - averaged,
        )

    def skip_frame(self) -> None:
        """Skip refinement while nothing subscribes, and drop masks that would go stale."""
        if not self._idle:
            self.reset()
            self._idle = True

    def reset(self) -> None:
        """Forget masks and cadence; masks that are still being generated will be dropped."""
        self._epoch = next(_EPOCHS)
        self.cadence.reset()
        self.propagator.reset()

    def _take_masks(self, time_s: float) -> None:
        for outcome in self._worker.poll(self._camera):
            keyframe, masks = outcome.keyframe, outcome.masks
            if keyframe.epoch != self._epoch:
                continue
            if masks is None:
                self.propagator.drop(keyframe)
                continue
            self.last_generation_s = masks.seconds
            age_s = time_s - keyframe.time_s
            self.late_s = age_s if age_s > self.max_age_s else None
            self.propagator.adopt(keyframe, masks)
