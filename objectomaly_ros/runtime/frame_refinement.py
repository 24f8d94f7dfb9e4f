"""What happens to a frame after its coarse score: refinement, obstacles, results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from objectomaly_ros.obstacles.stage import MOST_REGIONS
from objectomaly_ros.runtime.camera_state import CameraState
from objectomaly_ros.runtime.image_clock import Order
from objectomaly_ros.runtime.interface import Frame, Result, Settings, Sink, Timings
from objectomaly_ros.runtime.refiner import Refined, Refiner
from objectomaly_ros.types import Detection, Image


class Scored(NamedTuple):
    """A frame with its coarse score.

    Attributes:
        number: of the image since the camera's first, images that were dropped included.
        frame, image, detection: the input, its image (H, W, 3) uint8, and its coarse score.
        queue_wait_s, coarse_s: seconds that it waited and that the detector took.
        adapted: see `Result`.
    """

    number: int
    frame: Frame
    image: Image
    detection: Detection
    queue_wait_s: float
    coarse_s: float
    adapted: str


class FrameRefinement:
    """Refines the scores of all cameras; used by one thread.

    Args:
        cameras: their states.
        settings: returns the current settings.
        sink: takes the results.
        clock: seconds.
    """

    def __init__(
        self,
        cameras: Mapping[str, CameraState],
        settings: Callable[[], Settings],
        sink: Sink,
        clock: Callable[[], float],
    ) -> None:
        self._cameras = cameras
        self._settings = settings
        self._sink = sink
        self._clock = clock

    def refine(self, scored: Scored, enter: Callable[[str, str], None]) -> None:
        """Refine and hand out one frame; `enter` is told each step and its camera."""
        frame, image, detection = scored.frame, scored.image, scored.detection
        camera, state = frame.camera, self._cameras[frame.camera]
        enter("refinement", camera)
        late = self._watch_clock(state, frame) is Order.LATE
        time_s = state.clock.time_s
        settings, demand = self._settings(), self._sink.demand(camera)
        refined = Refined(detection.score)
        if state.refiner is not None:
            state.refiner.cadence.settings = settings.cadence
            state.refiner.propagator.mode = settings.propagation
            state.refiner.max_age_s = settings.max_age_s
            if demand.score:
                refined = state.refiner.refine(
                    image, detection.score, scored.number, time_s, late=late
                )
                self._watch_masks(camera, state.refiner)
            elif not late:
                state.refiner.skip_frame()
        if refined.mask_count is not None:
            state.counters.refined += 1

        enter("obstacle tracking", camera)
        obstacles = None
        if demand.obstacles and settings.obstacles is not None:
            obstacles = state.obstacles.find(
                detection, refined.score, time_s, settings.obstacles, late=late
            )
            if len(obstacles.regions) == MOST_REGIONS:
                self._sink.warn(
                    f"regions {camera}",
                    f"an image has {MOST_REGIONS} obstacles or more, and the smallest are left "
                    "out: raise threshold.high or min_area",
                )

        enter("publishing", camera)
        timings = Timings(
            scored.queue_wait_s,
            scored.coarse_s,
            refined.propagation_s,
            refined.oasc_s,
            refined.mbp_s,
        )
        generation_s = state.refiner.last_generation_s if state.refiner is not None else None
        self._sink.result(
            Result(
                frame,
                image,
                detection,
                refined,
                obstacles,
                timings,
                generation_s,
                scored.adapted,
                state.counters,
            )
        )
        state.latency.add(self._clock() - frame.received_s)
        state.rate_out.add()

    def _watch_clock(self, state: CameraState, frame: Frame) -> Order:
        last = state.clock.newest_s
        order = state.clock.take(frame.stamp_s, frame.received_s)
        if order is Order.LATE:
            state.counters.late += 1
        if order is Order.JUMP:
            state.reset()
            camera = f"camera {frame.camera!r}: " if frame.camera else ""
            self._sink.warn(
                f"clock {frame.camera}",
                f"{camera}image stamps went back from {last:.3f} s to {frame.stamp_s:.3f} s "
                "(a bag that loops, or a clock that was set): masks and obstacles are forgotten",
            )
        return order

    def _watch_masks(self, camera: str, refiner: Refiner) -> None:
        if refiner.late_s is not None:
            self._sink.warn(
                f"late masks {camera}",
                f"masks came {refiner.late_s:.1f} s after their image, which is more than "
                f"refine.max_age_s ({refiner.max_age_s:g}), so they refine nothing; making them "
                f"took {refiner.last_generation_s or 0:.1f} s: raise refine.max_age_s, or make "
                "masks sooner (device, a lighter masks.name, fewer points in masks.options)",
            )
