"""The engine: one thread that scores every frame, and refines with the masks at hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from objectomaly_ros.detectors import detect
from objectomaly_ros.runtime.camera_state import CameraState
from objectomaly_ros.runtime.frame_queue import FrameQueue
from objectomaly_ros.runtime.interface import BadImageError, Frame, Result, Settings, Sink, Timings
from objectomaly_ros.runtime.keyframes import KeyframeMasks
from objectomaly_ros.runtime.log_text import describe
from objectomaly_ros.runtime.mask_worker import MaskWorker
from objectomaly_ros.runtime.refiner import Refined, Refiner
from objectomaly_ros.runtime.statistics import Rolling
from objectomaly_ros.types import Detection, Detector, Image, ScoreMap


class Engine:
    """Scores the frames of all cameras in the order of their turn, with one detector.

    A frame's coarse score is handed out before anything else is done with it. Masks come from
    `generate`, called in a thread of its own on keyframes; the CAS thread never waits for it.

    Args:
        detector: the coarse stage.
        generate: makes the masks of an image and its coarse score; None to never refine.
        sink: takes what comes out.
        settings: to begin with; `settings` may be replaced at any time, from any thread.
        cameras: their names.
        queue_size: frames of one camera that may wait.
        clock: seconds, for latencies.
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
    ) -> None:
        self.settings = settings
        self.mask_failures = 0
        self.mask_generation = Rolling(64)  # seconds that the masks of a keyframe took
        self.last_error: tuple[float, str] | None = None  # when, on the clock, and what
        self._detector = detector
        self._generate = generate
        self._sink = sink
        self._clock = clock
        self._queue: FrameQueue[Frame] = FrameQueue(queue_size)
        self._worker = (
            MaskWorker(self._timed_masks, self._masks_failed, clock) if generate else None
        )
        self.cameras = {
            name: CameraState(Refiner(name, self._worker, clock) if self._worker else None)
            for name in cameras
        }
        self._thread = threading.Thread(target=self._run, name="cas", daemon=True)
        self._thread.start()

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
        if self._queue.put(frame.camera, frame) is not None:
            state.counters.dropped += 1

    def request_refinement(self) -> None:
        """Make the next frame of every camera a keyframe."""
        for state in self.cameras.values():
            if state.refiner is not None:
                state.refiner.cadence.request()

    def mask_generation_busy_s(self) -> float:
        """Seconds that the mask generation in progress has taken so far, 0 when idle."""
        return self._worker.busy_seconds() if self._worker is not None else 0.0

    def close(self, timeout: float = 1.0) -> bool:
        """Finish the frame in hand and stop; tell whether all threads ended in time.

        A caller whose `generate` may take long ends that first.
        """
        deadline = time.monotonic() + timeout
        self._queue.close()
        ended = self._worker is None or self._worker.close(timeout)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return ended and not self._thread.is_alive()

    def _run(self) -> None:
        while (taken := self._queue.get()) is not None:
            frame = taken[1]
            try:
                self._process(self.cameras[frame.camera], frame)
            except Exception as error:  # nothing that one frame does may end the others
                self._failed(frame.camera, f"a frame could not be processed: {describe(error)}")

    def _process(self, state: CameraState, frame: Frame) -> None:
        started = self._clock()
        try:
            image = self._sink.decode(frame)
            given = frame.score() if frame.score is not None else None
        except BadImageError as error:
            state.counters.rejected += 1
            self._sink.warn(f"rejected {frame.camera}", str(error))
            return
        self._watch_clock(state, frame)
        began = self._clock()
        detection = self._detect(frame.camera, image, given)
        coarse_s = self._clock() - began
        if detection is None:
            return
        self._sink.coarse(frame, detection.score)
        state.counters.scored += 1
        state.cas_latency.add(self._clock() - frame.received_s)
        state.detector.add(coarse_s)

        settings, demand = self.settings, self._sink.demand(frame.camera)
        refined = Refined(detection.score)
        if state.refiner is not None:
            state.refiner.cadence.settings = settings.cadence
            state.refiner.propagator.mode = settings.propagation
            state.refiner.max_age_s = settings.max_age_s
            if demand.score:
                refined = state.refiner.refine(image, detection.score, frame.stamp_s)
                self._watch_masks(frame.camera, state.refiner)
            else:
                state.refiner.skip_frame()
        if refined.mask_count is not None:
            state.counters.refined += 1
        obstacles = None
        if demand.obstacles and settings.obstacles is not None:
            obstacles = state.obstacles.find(
                detection, refined.score, frame.stamp_s, settings.obstacles
            )
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
        if state.clock_went_back(frame.stamp_s):
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

    def _detect(self, camera: str, image: Image, given: ScoreMap | None) -> Detection | None:
        try:
            detection = detect(self._detector, image) if given is None else Detection(given)
        except Exception as error:  # a detector may raise anything
            self._failed(camera, f"the detector failed: {describe(error)}")
            return None
        if detection.score.shape != image.shape[:2]:
            source = "the detector returned" if given is None else "there came"
            self._failed(
                camera,
                f"{source} a score of shape {detection.score.shape} for an image of "
                f"{image.shape[:2]}: it must score every pixel",
            )
            return None
        return detection

    def _failed(self, camera: str, text: str) -> None:
        self.cameras[camera].counters.failed += 1
        self.last_error = self._clock(), text
        self._sink.error(f"failed {camera}", text)

    def _timed_masks(self, image: Image, score: ScoreMap) -> KeyframeMasks:
        assert self._generate is not None
        masks = self._generate(image, score)
        self.mask_generation.add(masks.seconds)
        return masks

    def _masks_failed(self, error: Exception) -> None:
        self.mask_failures += 1
        text = f"masks could not be generated: {describe(error)}"
        self.last_error = self._clock(), text
        self._sink.warn("masks", f"{text}; scores stay coarse until it works again")
