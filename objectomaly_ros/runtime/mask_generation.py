"""Mask generation as the engine sees it: timed, and watched for failures and hangs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from objectomaly_ros.runtime.keyframes import KeyframeMasks
from objectomaly_ros.runtime.log_text import describe
from objectomaly_ros.runtime.mask_worker import MaskWorker
from objectomaly_ros.runtime.statistics import Rolling
from objectomaly_ros.types import Image, ScoreMap

HANG_S = 60.0
"""It hangs if it takes longer than this and than 5 usual keyframes."""

FAIL_S = 10.0
"""It fails for good if it has failed for this long, without one success."""


class _Failing(NamedTuple):
    """Failures in a row."""

    first_s: float
    last_s: float
    text: str


class MaskGeneration:
    """Generates masks in the thread of its `worker`.

    Args:
        generate: makes the masks of an image and its coarse score; may take long, may fail.
        tell: takes the text of every failure.
        clock: seconds.

    Attributes:
        seconds: that the masks of a keyframe took.
        failures: number of failures.
    """

    def __init__(
        self,
        generate: Callable[[Image, ScoreMap], KeyframeMasks],
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds = Rolling(64)
        self.failures = 0
        self._generate = generate
        self._tell = tell
        self._clock = clock
        self._failing: _Failing | None = None
        self.worker = MaskWorker(self._timed, self._failed, clock)

    def problem(self) -> str | None:
        """Return why there are no masks; None while all is well."""
        now, failing, busy_s = self._clock(), self._failing, self.worker.busy_seconds()
        if failing is not None and failing.last_s - failing.first_s > FAIL_S:
            return f"no masks for {now - failing.first_s:.0f} s: {failing.text}"
        if self.seconds.exceeded_by(busy_s, HANG_S, 5):
            return f"mask generation has taken {busy_s:.0f} s and has not ended"
        return None

    def _timed(self, image: Image, score: ScoreMap) -> KeyframeMasks:
        masks = self._generate(image, score)
        self._failing = None
        self.seconds.add(masks.seconds)
        return masks

    def _failed(self, error: BaseException) -> None:
        now, failing = self._clock(), self._failing
        text = f"masks could not be generated: {describe(error)}"
        self.failures += 1
        self._failing = _Failing(failing.first_s if failing is not None else now, now, text)
        self._tell(f"{text}; scores stay coarse until it works again")
