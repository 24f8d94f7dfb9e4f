"""The engine: scores every frame, and refines the scores with the newest masks, in two threads."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from objectomaly_ros.detectors import detect
from objectomaly_ros.obstacles.stage import ObstacleStage
from objectomaly_ros.obstacles.tracking import obstacle_ids
from objectomaly_ros.runtime.camera_state import CameraState
from objectomaly_ros.runtime.frame_queue import FrameQueue
from objectomaly_ros.runtime.frame_refinement import FrameRefinement, Scored
from objectomaly_ros.runtime.handoff import Handoff
from objectomaly_ros.runtime.interface import BadImageError, Frame, Settings, Sink
from objectomaly_ros.runtime.keyframes import KeyframeMasks
from objectomaly_ros.runtime.log_text import describe
from objectomaly_ros.runtime.mask_generation import MaskGeneration
from objectomaly_ros.runtime.refiner import Refiner
from objectomaly_ros.runtime.stage import ReplacedError, Stage
from objectomaly_ros.runtime.strangeness import ADVICE
from objectomaly_ros.types import Adaptable, Detection, Detector, Image, ScoreMap

OVERLOAD_S = 3.0
"""The detector is made quicker if frames are dropped for so long."""

BUSY_SHARE = 0.7
"""And if it was at work for this share of that time: else something else is too slow."""

T = TypeVar("T")

DETECTOR, LOADING = "the detector", "loading the detector"


class Engine:
    """Scores the frames of all cameras in turn, with one detector.

    The scoring thread hands out a frame's coarse score, and passes the frame on to the refinement
    thread, which does the rest while the next frame is scored. At most one frame waits between the
    two. Masks come from `generate`, called in a third thread on keyframes; nothing waits for it.

    Args:
        detector: the coarse stage.
        generate: makes the masks of an image and its coarse score; None to never refine.
        sink: takes the results.
        settings: the first ones; `settings` may be replaced at any time, from any thread.
        cameras: their names.
        queue_size: frames of one camera that may wait.
        clock: seconds, for latencies.
        reload: loads the detector once more, for when it hangs; None to leave it hanging.
        ids: the ids of new obstacles, of all cameras, also of a later engine.

    Attributes:
        masks: their generation, None if there is no generator.
        adapted: how the detector was made quicker in overload, "" if it was not.
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
        ids: Iterator[int] | None = None,
    ) -> None:
        self.detector = detector
        self.settings = settings
        self.adapted = ""
        self.last_error: tuple[float, str] | None = None  # time on the clock, and text
        self._reload = reload
        self._sink = sink
        self._clock = clock
        self._queue: FrameQueue[tuple[int, Frame]] = FrameQueue(queue_size, self._dropped, clock)
        self._handoff: Handoff[Scored] = Handoff()
        self._adapted_s = clock()
        self._detected: deque[tuple[float, float]] = deque()  # when, and seconds that it took
        self._failures = threading.Lock()
        self.masks = MaskGeneration(generate, self._masks_failed, clock) if generate else None
        self._ids = obstacle_ids() if ids is None else ids
        self.cameras = {
            name: CameraState(self._refiner(name), ObstacleStage(self._ids)) for name in cameras
        }
        self._closed = False
        self._refine = FrameRefinement(self.cameras, lambda: self.settings, sink, clock).refine
        self._scoring = Stage("scoring", self._score_next, clock)
        self._refinement = Stage("refinement", self._refine_next, clock)
        self._stages = (self._scoring, self._refinement)
        for stage in self._stages:
            stage.start()

    def submit(self, frame: Frame) -> None:
        """Hand in a frame without waiting; see `FrameQueue` for which frames are dropped."""
        state = self.cameras[frame.camera]
        state.counters.received += 1
        state.last_received_s = frame.received_s
        state.rate_in.add()
        self._queue.put(frame.camera, (state.counters.received, frame))

    def request_refinement(self) -> None:
        """Make the next frame of every camera a keyframe."""
        for state in self.cameras.values():
            if state.refiner is not None:
                state.refiner.cadence.request()

    def problem(self) -> str | None:
        """Return why frames are not scored or refined; None while all is well."""
        if self._closed:
            return None
        for watched in (*self._stages, self.masks):
            if watched is not None and (problem := watched.problem()) is not None:
                return problem
        return None

    def supervise(self) -> None:
        """Replace a thread that has ended or hangs. To be called every second.

        A thread that hangs cannot be ended. It is left behind, and hands out nothing if it wakes
        up. A new scoring thread loads another detector and does not use the old one again.
        """
        if self._closed:
            return
        loading = LOADING if self._reload is not None else DETECTOR
        if self._scoring.must_be_replaced(loading):
            self._tell_replaced(self._scoring)
            self._scoring.replace(self._load)
        if self._refinement.must_be_replaced():
            self._tell_replaced(self._refinement)
            for name, state in self.cameras.items():
                state.obstacles = ObstacleStage(self._ids)
                state.refiner = self._refiner(name)
            self._refinement.replace()

    def close(self, timeout: float = 1.0) -> bool:
        """Finish the current frames and stop; return whether all threads ended in time.

        A caller whose `generate` may take long ends that first.
        """
        deadline = time.monotonic() + timeout
        self._closed = True
        self._queue.close()
        self._handoff.close()
        ended = [stage.join(deadline - time.monotonic()) for stage in self._stages]
        if self.masks is not None:
            ended.append(self.masks.worker.close(max(0.0, deadline - time.monotonic())))
        return all(ended)

    def _refiner(self, camera: str) -> Refiner | None:
        return Refiner(camera, self.masks.worker, self._clock) if self.masks is not None else None

    def _dropped(self, camera: str) -> None:
        self.cameras[camera].counters.dropped += 1

    def _tell_replaced(self, stage: Stage) -> None:
        self._failed(stage.camera, f"{stage.problem()}: the {stage.name} thread is started again")

    def _load(self) -> bool:
        if self._reload is not None:
            self._scoring.enter(LOADING)
            try:
                detector = self._reload()
            except BaseException as error:
                self._sink.error("load", f"the detector could not be loaded: {describe(error)}")
                return False
            self._scoring.enter(None)
            self.detector, self.adapted, self._adapted_s = detector, "", self._clock()
        return True

    def _score_next(self) -> bool:
        if (taken := self._queue.get()) is None:
            return False
        number, frame = taken
        scored = self._attempt(self._scoring, frame, lambda: self._score(number, frame))
        if scored is not None:
            self._handoff.put(scored)
        self._keep_up()
        return True

    def _refine_next(self) -> bool:
        if (scored := self._handoff.take()) is None:
            return False
        self._attempt(
            self._refinement, scored.frame, lambda: self._refine(scored, self._refinement.enter)
        )
        return True

    def _attempt(self, stage: Stage, frame: Frame, work: Callable[[], T]) -> T | None:
        """Do the work of a stage for one frame; nothing that it does may end the others.

        Returns:
            The result of `work`; None if it failed.
        """
        began = self._clock()
        try:
            result = work()
        except ReplacedError:
            raise
        except BaseException as error:
            step = stage.step
            stage.enter(None)
            if isinstance(error, BadImageError):
                self.cameras[frame.camera].counters.rejected += 1
                self._sink.warn(f"rejected {frame.camera}", str(error))
            else:
                self._failed(frame.camera, f"{step} failed: {describe(error)}")
            return None
        stage.enter(None)
        stage.service.add(self._clock() - began)
        return result

    def _score(self, number: int, frame: Frame) -> Scored:
        camera, started, state = frame.camera, self._clock(), self.cameras[frame.camera]
        self._scoring.enter("decoding", camera)
        image = self._sink.decode(frame)
        given = frame.score(image) if frame.score is not None else None

        self._scoring.enter(DETECTOR, camera)
        began = self._clock()
        detection = Detection(given) if given is not None else detect(self.detector, image)
        coarse_s = self._clock() - began

        self._scoring.enter("publishing", camera)
        self._sink.coarse(frame, detection.score)
        state.counters.scored += 1
        state.cas_latency.add(self._clock() - frame.received_s)
        state.detector.add(coarse_s)
        self._detected.append((self._clock(), coarse_s))
        if state.strangeness.add(detection.strangeness, self._clock()):
            self._sink.warn(f"strange {camera}", f"camera {camera}: {ADVICE}" if camera else ADVICE)
        self._scoring.enter(None)
        wait_s = started - frame.received_s
        return Scored(number, frame, image, detection, wait_s, coarse_s, self.adapted)

    def _keep_up(self) -> None:
        """Make the detector quicker if frames are dropped for OVERLOAD_S because of it."""
        detector, now = self.detector, self._clock()
        while self._detected and self._detected[0][0] < now - OVERLOAD_S:
            self._detected.popleft()
        overload_s = min(self._queue.overload_s(), now - self._adapted_s)
        busy_s = sum(seconds for _, seconds in self._detected)
        if (
            self._closed
            or not self.settings.keep_up
            or overload_s < OVERLOAD_S
            or busy_s < BUSY_SHARE * OVERLOAD_S
            or not isinstance(detector, Adaptable)
        ):
            return
        self._adapted_s = now
        self._scoring.enter(DETECTOR)
        try:
            step = detector.step_down()
        except Exception as error:
            self._adapted_s = math.inf  # not again
            step, text = None, f"the detector could not be made quicker: {describe(error)}"
            self._sink.warn("keep_up failed", text)
        self._scoring.enter(None)
        if step:
            self.adapted += f", {step}" if self.adapted else step
            self._sink.warn(
                f"keep_up {step}",
                f"frames are dropped: the detector is made quicker ({step}) until the node is "
                "activated again; detector.keep_up: false leaves it as it is",
            )

    def _failed(self, camera: str, text: str) -> None:
        if camera in self.cameras:  # "" if there is no frame, with cameras that have names
            with self._failures:  # of both threads
                self.cameras[camera].counters.failed += 1
        self.last_error = self._clock(), text
        self._sink.error(f"failed {camera}", text)

    def _masks_failed(self, text: str) -> None:
        self.last_error = self._clock(), text
        self._sink.warn("masks", text)
