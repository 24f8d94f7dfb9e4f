"""Mask generation beside CAS: a thread that feeds keyframes to the generator."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from objectomaly_ros.runtime.keyframes import Keyframe, KeyframeMasks, Outcome
from objectomaly_ros.types import Image, ScoreMap


class MaskWorker:
    """Holds at most one waiting keyframe per camera, the newest; cameras take turns.

    Args:
        generate: makes the masks of an image and its coarse score; may take long.
        on_failure: takes every exception of `generate`, in the worker's thread.
        clock: seconds, for `busy_seconds`.
    """

    def __init__(
        self,
        generate: Callable[[Image, ScoreMap], KeyframeMasks],
        on_failure: Callable[[BaseException], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._generate = generate
        self._on_failure = on_failure
        self._clock = clock
        self._waiting: dict[str, Keyframe] = {}  # in order of turn
        self._outcomes: dict[str, list[Outcome]] = {}
        self._wake = threading.Condition()
        self._closed = False
        self._busy_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="masks", daemon=True)
        self._thread.start()

    def submit(self, keyframe: Keyframe) -> None:
        """Request masks without waiting; an older keyframe of the camera that waits is skipped."""
        with self._wake:
            older = self._waiting.get(keyframe.camera)
            if older is not None:
                self._outcomes.setdefault(keyframe.camera, []).append(Outcome(older, None))
            self._waiting[keyframe.camera] = keyframe  # keeps the older one's turn
            self._wake.notify()

    def poll(self, camera: str) -> list[Outcome]:
        """Return the camera's keyframes that ended since the last call, oldest first."""
        with self._wake:
            return self._outcomes.pop(camera, [])

    def busy_seconds(self) -> float:
        """Seconds that the generation in progress has taken so far, 0 when idle."""
        since = self._busy_since
        return 0.0 if since is None else self._clock() - since

    def close(self, timeout: float | None = None) -> bool:
        """Stop after the generation in progress; return whether the thread ended in time."""
        with self._wake:
            self._closed = True
            self._waiting.clear()
            self._wake.notify_all()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                keyframe = self._waiting.pop(next(iter(self._waiting)))
            self._busy_since = self._clock()
            masks = None
            try:
                masks = self._generate(keyframe.image, keyframe.score)
            except BaseException as error:  # a generator may raise anything
                if not self._closed:
                    self._on_failure(error)
            self._busy_since = None
            with self._wake:
                self._outcomes.setdefault(keyframe.camera, []).append(Outcome(keyframe, masks))
