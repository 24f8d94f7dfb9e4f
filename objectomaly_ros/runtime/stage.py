"""A stage of the pipeline: a thread that works in steps, and is replaced if it hangs."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from objectomaly_ros.runtime.statistics import Rolling

HANG_S = 1.0
"""A thread hangs if one step takes longer than this and than 5 usual frames."""

RESTART_S = 10.0
"""It is replaced if one step takes longer than this and than 20 usual frames."""


class ReplacedError(BaseException):
    """The stage's thread hung, was replaced, and woke up: it must end."""


class _Doing(NamedTuple):
    """The current step of the thread."""

    since_s: float
    step: str
    camera: str


class Stage:
    """Calls `work` in a thread, again and again, until it returns False.

    Args:
        name: of the stage, for messages and as the thread's name.
        work: processes one frame; calls `enter` before each of its steps.
        clock: seconds.
    """

    def __init__(
        self, name: str, work: Callable[[], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.service = Rolling(64)  # seconds that `work` took for a frame, without waiting
        self._work = work
        self._clock = clock
        self._restarted_s = -math.inf
        self._abandoned: threading.Thread | None = None

    def start(self, prepare: Callable[[], bool] = lambda: True) -> None:
        """Start the thread. It calls `prepare` first, and ends if that returns False."""
        self._doing: _Doing | None = None
        self.thread = threading.Thread(
            target=self._run, args=(prepare,), name=self.name, daemon=True
        )
        self.thread.start()

    def enter(self, step: str | None, camera: str = "") -> None:
        """Note the thread's next step, None for waiting; end the thread if it was replaced."""
        if threading.current_thread() is not self.thread:
            raise ReplacedError
        self._doing = None if step is None else _Doing(self._clock(), step, camera)

    @property
    def step(self) -> str:
        """The current step, "" while the thread waits."""
        return self._doing.step if self._doing is not None else ""

    @property
    def camera(self) -> str:
        """The camera of the current step, "" for none."""
        return self._doing.camera if self._doing is not None else ""

    def problem(self) -> str | None:
        """Return why the stage does not work; None while all is well."""
        now, doing = self._clock(), self._doing
        if not self.thread.is_alive():
            return f"the {self.name} thread has ended"
        if doing is not None and self.service.exceeded_by(now - doing.since_s, HANG_S, 5):
            camera = f" with an image of camera {doing.camera!r}" if doing.camera else ""
            return f"{doing.step} has taken {now - doing.since_s:.0f} s{camera} and has not ended"
        return None

    def must_be_replaced(self, lasting: str = "") -> bool:
        """Return whether the thread has ended, or hangs in a step other than `lasting`.

        Not within RESTART_S of the last time, and not while an earlier thread hangs.
        """
        now, doing = self._clock(), self._doing
        if now - self._restarted_s < RESTART_S:
            return False
        if not self.thread.is_alive():
            return True
        return (
            doing is not None
            and doing.step != lasting
            and not math.isnan(self.service.percentiles().p95)  # the first frame may take long
            and self.service.exceeded_by(now - doing.since_s, RESTART_S, 20)
            and not (self._abandoned is not None and self._abandoned.is_alive())
        )

    def replace(self, prepare: Callable[[], bool] = lambda: True) -> None:
        """Start a new thread; one that hangs cannot be ended, and is left behind."""
        if self.thread.is_alive():
            self._abandoned = self.thread
        self._restarted_s = self._clock()
        self.start(prepare)

    def join(self, timeout: float) -> bool:
        """Wait for the end of the thread; return whether it ended in time."""
        self.thread.join(max(0.0, timeout))
        return not self.thread.is_alive()

    def _run(self, prepare: Callable[[], bool]) -> None:
        with suppress(ReplacedError):
            if prepare():
                while self._work():
                    pass
