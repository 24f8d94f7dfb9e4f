"""The engine: one thread that scores every frame and refines the scores with the newest masks."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from objectomaly_ros.detectors import detect
from objectomaly_ros.obstacles.stage import MOST_REGIONS, ObstacleStage
from objectomaly_ros.runtime.camera_state import CameraState
from objectomaly_ros.runtime.frame_queue import FrameQueue
from objectomaly_ros.runtime.interface import BadImageError, Frame, Result, Settings, Sink, Timings
from objectomaly_ros.runtime.keyframes import KeyframeMasks
from objectomaly_ros.runtime.log_text import describe
from objectomaly_ros.runtime.mask_worker import MaskWorker
from objectomaly_ros.runtime.refiner import Refined, Refiner
from objectomaly_ros.runtime.statistics import Rolling
from objectomaly_ros.types import Detection, Detector, Image, ScoreMap

HANG_S = 1.0
"""The scoring thread hangs if one step takes longer than this and than 5 usual frames."""

RESTART_S = 10.0
"""It is replaced if one step takes longer than this and than 20 usual frames."""

MASKS_HANG_S = 60.0
"""Mask generation hangs if it takes longer than this and than 5 usual keyframes."""

MASKS_FAIL_S = 10.0
"""Mask generation fails for good if it has failed for this long, without one success."""

DETECTOR, LOADING = "the detector", "loading the detector"


class _ReplacedError(BaseException):
    """The scoring thread hung, was replaced, and woke up: it must end."""


class _Doing(NamedTuple):
    """The current step of the scoring thread."""

    since_s: float
    step: str
    camera: str


class _Failing(NamedTuple):
    """Failures of mask generation in a row."""

    first_s: float
    last_s: float
    text: str


class Engine:
    """Scores the frames of all cameras in turn, with one detector.

    A frame's coarse score is handed out before anything else is done with it. Masks come from
    `generate`, called in a thread of its own on keyframes; the scoring thread never waits for it.

    Args:
        detector: the coarse stage.
        generate: makes the masks of an image and its coarse score; None to never refine.
        sink: takes the results.
        settings: the first ones; `settings` may be replaced at any time, from any thread.
        cameras: their names.
        queue_size: frames of one camera that may wait.
        clock: seconds, for latencies.
        reload: loads the detector once more, for when it hangs; None to leave it hanging.
    """

    def __init__(
        self,
        detector: Detector,
        generate: Callable[[Image, ScoreMap], KeyframeMasks] | None,
        sink: Sink,
        settings: Settings,
        *,
        cameras: Sequence[str] = ("",),
        queue_size: int = 4,
        clock: Callable[[], float] = time.monotonic,
        reload: Callable[[], Detector] | None = None,
    ) -> None:
        self.detector = detector
        self.settings = settings
        self.mask_failures = 0
        self.mask_generation = Rolling(64)  # seconds that the masks of a keyframe took
        self.service = Rolling(64)  # seconds that a frame took, without its time in the queue
        self.last_error: tuple[float, str] | None = None  # time on the clock, and text
        self._reload = reload
        self._generate = generate
        self._sink = sink
        self._clock = clock
        self._queue: FrameQueue[tuple[int, Frame]] = FrameQueue(queue_size)
        self._masks_failing: _Failing | None = None
        self._worker = (
            MaskWorker(self._timed_masks, self._masks_failed, clock) if generate else None
        )
        self.cameras = {name: CameraState(self._refiner(name)) for name in cameras}
        self._closed = False
        self._restarted_s = -math.inf
        self._abandoned: threading.Thread | None = None
        self._start(None)

    @property
    def refines(self) -> bool:
        """Whether there is a mask generator."""
        return self._worker is not None

    def submit(self, frame: Frame) -> None:
        """Hand in a frame without waiting; beyond capacity the camera's oldest is dropped."""
        state = self.cameras[frame.camera]
        state.counters.received += 1
        state.last_received_s = frame.received_s
        state.rate_in.add()
        if self._queue.put(frame.camera, (state.counters.received, frame)) is not None:
            state.counters.dropped += 1

    def request_refinement(self) -> None:
        """Make the next frame of every camera a keyframe."""
        for state in self.cameras.values():
            if state.refiner is not None:
                state.refiner.cadence.request()

    def mask_generation_busy_s(self) -> float:
        """Seconds that the mask generation in progress has taken so far, 0 when idle."""
        return self._worker.busy_seconds() if self._worker is not None else 0.0

    def problem(self) -> str | None:
        """Return why frames are not scored or refined; None while all is well."""
        now, doing, failing = self._clock(), self._doing, self._masks_failing
        if not self._thread.is_alive() and not self._closed:
            return "the scoring thread has ended"
        if doing is not None and self.service.exceeded_by(now - doing.since_s, HANG_S, 5):
            camera = f" with an image of camera {doing.camera!r}" if doing.camera else ""
            return f"{doing.step} has taken {now - doing.since_s:.0f} s{camera} and has not ended"
        if failing is not None and failing.last_s - failing.first_s > MASKS_FAIL_S:
            return f"no masks for {now - failing.first_s:.0f} s: {failing.text}"
        busy_s = self.mask_generation_busy_s()
        if self.mask_generation.exceeded_by(busy_s, MASKS_HANG_S, 5):
            return f"mask generation has taken {busy_s:.0f} s and has not ended"
        return None

    def supervise(self) -> None:
        """Replace the scoring thread if it has ended or hangs. To be called every second.

        A thread that hangs cannot be ended. It is left behind, hands out nothing if it wakes up,
        and its detector is not used again: the new thread loads another one. While it hangs, no
        second thread is left behind.
        """
        now, doing, problem = self._clock(), self._doing, self.problem()
        if self._closed or now - self._restarted_s < RESTART_S:
            return
        if self._thread.is_alive():
            if (
                doing is None
                or math.isnan(self.service.percentiles().p95)  # the first frame may take long
                or not self.service.exceeded_by(now - doing.since_s, RESTART_S, 20)
                or (self._abandoned is not None and self._abandoned.is_alive())
                or doing.step == (LOADING if self._reload is not None else DETECTOR)
            ):
                return
            self._abandoned = self._thread
        self._restarted_s = now
        for name, state in self.cameras.items():
            state.obstacles, state.refiner = ObstacleStage(), self._refiner(name)
        camera = next(iter(self.cameras)) if doing is None or not doing.camera else doing.camera
        self._failed(camera, f"{problem}: the scoring thread is started again")
        self._start(self._reload)

    def close(self, timeout: float = 1.0) -> bool:
        """Finish the current frame and stop; return whether all threads ended in time.

        A caller whose `generate` may take long ends that first.
        """
        deadline = time.monotonic() + timeout
        self._closed = True
        self._queue.close()
        ended = self._worker is None or self._worker.close(timeout)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return ended and not self._thread.is_alive()

    def _refiner(self, camera: str) -> Refiner | None:
        return Refiner(camera, self._worker, self._clock) if self._worker is not None else None

    def _start(self, load: Callable[[], Detector] | None) -> None:
        self._doing: _Doing | None = None
        self._thread = threading.Thread(target=self._run, args=(load,), name="cas", daemon=True)
        self._thread.start()

    def _enter(self, step: str | None, camera: str = "") -> None:
        """Note the scoring thread's next step, None for idle; end the thread if it was replaced."""
        if threading.current_thread() is not self._thread:
            raise _ReplacedError
        self._doing = None if step is None else _Doing(self._clock(), step, camera)

    def _run(self, load: Callable[[], Detector] | None) -> None:
        with suppress(_ReplacedError):
            if load is not None:
                self._enter(LOADING)
                try:
                    detector = load()
                except BaseException as error:
                    self._sink.error("load", f"the detector could not be loaded: {describe(error)}")
                    return
                self._enter(None)
                self.detector = detector
            while (taken := self._queue.get()) is not None:
                self._serve(*taken)

    def _serve(self, number: int, frame: Frame) -> None:
        state, began = self.cameras[frame.camera], self._clock()
        try:
            self._process(state, number, frame)
        except _ReplacedError:
            raise
        except BaseException as error:  # nothing that one frame does may end the others
            step = self._doing.step if self._doing is not None else ""
            self._enter(None)
            if isinstance(error, BadImageError):
                state.counters.rejected += 1
                self._sink.warn(f"rejected {frame.camera}", str(error))
            else:
                self._failed(frame.camera, f"{step} failed: {describe(error)}")
        else:
            self._enter(None)
            self.service.add(self._clock() - began)

    def _process(self, state: CameraState, number: int, frame: Frame) -> None:
        camera, started = frame.camera, self._clock()
        self._enter("decoding", camera)
        image = self._sink.decode(frame)
        given = frame.score(image) if frame.score is not None else None
        self._watch_clock(state, frame)

        self._enter(DETECTOR, camera)
        began = self._clock()
        detection = Detection(given) if given is not None else detect(self.detector, image)
        coarse_s = self._clock() - began

        self._enter("publishing", camera)
        self._sink.coarse(frame, detection.score)
        state.counters.scored += 1
        state.cas_latency.add(self._clock() - frame.received_s)
        state.detector.add(coarse_s)

        self._enter("refinement", camera)
        settings, demand = self.settings, self._sink.demand(camera)
        refined = Refined(detection.score)
        if state.refiner is not None:
            state.refiner.cadence.settings = settings.cadence
            state.refiner.propagator.mode = settings.propagation
            state.refiner.max_age_s = settings.max_age_s
            if demand.score:
                refined = state.refiner.refine(image, detection.score, number, state.time_s)
                self._watch_masks(camera, state.refiner)
            else:
                state.refiner.skip_frame()
        if refined.mask_count is not None:
            state.counters.refined += 1

        self._enter("obstacle tracking", camera)
        obstacles = None
        if demand.obstacles and settings.obstacles is not None:
            obstacles = state.obstacles.find(
                detection, refined.score, state.time_s, settings.obstacles
            )
            if len(obstacles.regions) == MOST_REGIONS:
                self._sink.warn(
                    f"regions {camera}",
                    f"an image has {MOST_REGIONS} obstacles or more, and the smallest are left "
                    "out: raise threshold.high or min_area",
                )

        self._enter("publishing", camera)
        timings = Timings(
            started - frame.received_s,
            coarse_s,
            refined.propagation_s,
            refined.oasc_s,
            refined.mbp_s,
        )
        generation_s = state.refiner.last_generation_s if state.refiner is not None else None
        self._sink.result(
            Result(
                frame, image, detection, refined, obstacles, timings, generation_s, state.counters
            )
        )
        state.latency.add(self._clock() - frame.received_s)
        state.rate_out.add()

    def _watch_clock(self, state: CameraState, frame: Frame) -> None:
        last = state.last_stamp_s
        if state.advance(frame.stamp_s, frame.received_s):
            camera = f"camera {frame.camera!r}: " if frame.camera else ""
            self._sink.warn(
                f"clock {frame.camera}",
                f"{camera}image stamps went back from {last:.3f} s to {frame.stamp_s:.3f} s "
                "(a bag that loops, or a clock that was set): masks and obstacles are forgotten",
            )

    def _watch_masks(self, camera: str, refiner: Refiner) -> None:
        if refiner.late_s is not None:
            self._sink.warn(
                f"late masks {camera}",
                f"masks came {refiner.late_s:.1f} s after their image, which is more than "
                f"refine.max_age_s ({refiner.max_age_s:g}), so they refine nothing; making them "
                f"took {refiner.last_generation_s or 0:.1f} s: raise refine.max_age_s, or make "
                "masks sooner (device, a lighter masks.name, fewer points in masks.options)",
            )

    def _failed(self, camera: str, text: str) -> None:
        self.cameras[camera].counters.failed += 1
        self.last_error = self._clock(), text
        self._sink.error(f"failed {camera}", text)

    def _timed_masks(self, image: Image, score: ScoreMap) -> KeyframeMasks:
        assert self._generate is not None
        masks = self._generate(image, score)
        self._masks_failing = None
        self.mask_generation.add(masks.seconds)
        return masks

    def _masks_failed(self, error: BaseException) -> None:
        now, failing = self._clock(), self._masks_failing
        text = f"masks could not be generated: {describe(error)}"
        self.mask_failures += 1
        self.last_error = now, text
        self._masks_failing = _Failing(failing.first_s if failing is not None else now, now, text)
        self._sink.warn("masks", f"{text}; scores stay coarse until it works again")
