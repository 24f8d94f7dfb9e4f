import re
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from simple_models import BandMasks, MoodyDetector, RednessDetector

from objectomaly_ros.mbp import refine_boundary
from objectomaly_ros.oasc import PAPER, calibrate
from objectomaly_ros.obstacles.stage import ObstacleSettings
from objectomaly_ros.obstacles.tracking import obstacle_ids
from objectomaly_ros.runtime.cadence import CadenceSettings
from objectomaly_ros.runtime.engine import Engine
from objectomaly_ros.runtime.interface import BadImageError, Demand, Frame, Settings
from objectomaly_ros.runtime.mask_server import generate
from objectomaly_ros.types import Detection

SHAPE = (48, 64)


def picture(x=20, first=(90, 90, 90)):
    image = np.full((*SHAPE, 3), 90, np.uint8)
    image[28:40, x : x + 12] = 255, 20, 20
    image[0, 0] = first
    return image


class Recorder:
    """The engine's surroundings: images are handed in as they are, results are kept."""

    def __init__(self):
        self.coarse_scores, self.results, self.order = [], [], []
        self.warnings, self.errors = [], []
        self.wanted = Demand()
        self.done = threading.Semaphore(0)

    def decode(self, frame):
        if isinstance(frame.message, str):
            self.done.release()
            raise BadImageError(frame.message)
        return frame.message

    def demand(self, camera):
        return self.wanted

    def coarse(self, frame, score):
        self.order.append(("coarse", frame.stamp_s))
        self.coarse_scores.append(score.copy())

    def result(self, result):
        self.order.append(("result", result.frame.stamp_s))
        self.results.append(result)
        self.done.release()

    def warn(self, key, text):
        self.warnings.append(text)

    def error(self, key, text):
        self.errors.append(text)
        self.done.release()


class Masks:
    """Masks of bands; may be told to wait or to fail."""

    def __init__(self):
        self.generator, self.images, self.answered = BandMasks(), [], 0
        self.free = threading.Event()
        self.free.set()
        self.fail = False

    def __call__(self, image, score):
        self.images.append(image)
        assert self.free.wait(60)
        try:
            if self.fail:
                raise RuntimeError("no masks today")
            return generate(self.generator, image, score, PAPER)
        finally:
            self.answered += 1


@pytest.fixture
def run():
    engines = []

    def start(detector=None, masks=None, settings=None, **arguments):
        sink = Recorder()
        settings = settings or Settings(obstacles=ObstacleSettings(high=0.5))
        engine = Engine(detector or RednessDetector(), masks, sink, settings, **arguments)
        engines.append(engine)
        return engine, sink

    yield start
    for engine in engines:
        assert engine.close(60)


def feed(engine, sink, stamp, image=None, camera=""):
    engine.submit(Frame(camera, stamp, time.monotonic(), picture() if image is None else image))
    assert sink.done.acquire(timeout=60)


def settle(masks, count):
    """Wait until the generator was asked for `count` keyframes and, unless it is held up, the
    worker has handed over what came of them.
    """
    end = time.monotonic() + 60
    while len(masks.images) < count or (masks.free.is_set() and masks.answered < len(masks.images)):
        assert time.monotonic() < end, f"{len(masks.images)} of {count} keyframes"
        time.sleep(0.005)
    time.sleep(0.1)  # from the generator's answer on the worker has a few instructions to go


def test_every_frame_gets_its_coarse_score_first_and_then_one_result(run):
    engine, sink = run()
    for stamp in range(5):
        feed(engine, sink, float(stamp))
    expected = [(kind, float(stamp)) for stamp in range(5) for kind in ("coarse", "result")]
    assert sink.order == expected
    np.testing.assert_array_equal(sink.results[0].refined.score, sink.coarse_scores[0])
    assert sink.results[0].refined.mask_count is None
    assert sink.results[0].detection.road is not None
    assert engine.cameras[""].counters.scored == 5


def test_with_masks_the_score_is_oasc_and_mbp_of_the_coarse_one(run):
    masks = Masks()
    engine, sink = run(masks=masks, settings=Settings(propagation="hold"))
    feed(engine, sink, 0.0)
    settle(masks, 1)
    feed(engine, sink, 0.1, picture(x=24))
    refined = sink.results[1].refined
    bands = BandMasks().generate(picture())
    expected = refine_boundary(calibrate(sink.coarse_scores[1], bands))
    np.testing.assert_allclose(refined.score, expected, atol=1e-6)
    assert refined.mask_count == 4
    assert refined.age_frames == 1
    assert refined.age_s == pytest.approx(0.1)
    assert engine.cameras[""].counters.refined == 1


def test_a_slow_generator_holds_up_no_frame(run):
    masks = Masks()
    masks.free.clear()
    engine, sink = run(masks=masks, settings=Settings(CadenceSettings(every_n=2)))
    feed(engine, sink, 0.0)
    settle(masks, 1)  # on a busy machine its thread may start late
    for k in range(1, 20):
        feed(engine, sink, k / 10)
    assert len(sink.results) == 20
    assert len(masks.images) == 1
    assert all(result.refined.mask_count is None for result in sink.results)
    masks.free.set()
    settle(masks, 2)  # the first and the newest; those in between gave way
    feed(engine, sink, 2.0)
    assert sink.results[-1].refined.age_frames == 2
    settle(masks, 3)
    assert len(masks.images) == 3


def test_masks_that_are_too_old_no_longer_refine_and_say_so(run):
    masks = Masks()
    settings = Settings(CadenceSettings(every_n=100), "hold", max_age_s=0.5)
    engine, sink = run(masks=masks, settings=settings)
    feed(engine, sink, 10.0)
    settle(masks, 1)
    for stamp in (10.1, 10.5, 10.6):
        feed(engine, sink, stamp)
    fresh, still, old = [result.refined for result in sink.results[1:]]
    assert fresh.mask_count == still.mask_count == 4
    assert old.mask_count is None
    assert (old.age_frames, old.age_s) == (3, pytest.approx(0.6))
    np.testing.assert_array_equal(old.score, sink.coarse_scores[-1])
    engine.settings = replace(settings, max_age_s=1.0)
    feed(engine, sink, 10.7)
    assert sink.results[-1].refined.mask_count == 4


def test_with_frozen_stamps_masks_age_and_are_made_anew_by_arrival(run):
    def arrive(received_s):
        engine.submit(Frame("", 10.0, received_s, picture()))
        assert sink.done.acquire(timeout=60)
        return sink.results[-1].refined

    masks = Masks()
    settings = Settings(CadenceSettings(period_s=5.0), "hold", max_age_s=0.5)
    engine, sink = run(masks=masks, settings=settings)
    arrive(100.0)
    settle(masks, 1)
    assert arrive(100.4).age_s == pytest.approx(0.4)
    old = arrive(100.6)
    assert (old.mask_count, old.age_s) == (None, pytest.approx(0.6))
    assert len(masks.images) == 1
    arrive(105.1)
    settle(masks, 2)
    assert arrive(105.2).age_s == pytest.approx(0.1)


def test_masks_that_come_too_late_to_refine_are_said(run):
    masks = Masks()
    masks.free.clear()
    settings = Settings(CadenceSettings(every_n=100), "hold", max_age_s=0.5)
    engine, sink = run(masks=masks, settings=settings)
    feed(engine, sink, 10.0)
    feed(engine, sink, 10.3)
    masks.free.set()
    settle(masks, 1)
    assert sink.warnings == []
    feed(engine, sink, 10.75)
    assert sink.results[-1].refined.mask_count is None
    assert len(sink.warnings) == 1
    assert "came 0.8 s after their image" in sink.warnings[0]
    assert "refine.max_age_s (0.5)" in sink.warnings[0]
    feed(engine, sink, 10.8)
    assert len(sink.warnings) == 1, "these masks are known to be late"
    engine.settings = replace(settings, max_age_s=1.0)
    engine.request_refinement()
    feed(engine, sink, 10.9)
    settle(masks, 2)
    feed(engine, sink, 11.7)
    assert sink.results[-1].refined.mask_count == 4
    assert len(sink.warnings) == 1, "masks in time are no reason to warn"


def test_keyframes_come_at_the_cadence_and_on_request(run):
    masks = Masks()
    engine, sink = run(masks=masks, settings=Settings(CadenceSettings(every_n=0)))
    feed(engine, sink, 0.0)
    assert masks.images == []
    engine.request_refinement()
    feed(engine, sink, 0.1)
    settle(masks, 1)
    engine.settings = replace(engine.settings, cadence=CadenceSettings(every_n=2))
    for k, keyframes in ((2, 1), (3, 2), (4, 2), (5, 3)):
        feed(engine, sink, k / 10)
        settle(masks, keyframes)
    assert len(masks.images) == 3


def test_without_listeners_no_masks_are_made_and_no_obstacles_looked_for(run):
    masks = Masks()
    engine, sink = run(masks=masks)
    sink.wanted = Demand(score=False, obstacles=False)
    for k in range(3):
        feed(engine, sink, k / 10)
    assert masks.images == []
    assert [result.obstacles for result in sink.results] == [None] * 3
    assert len(sink.coarse_scores) == 3
    sink.wanted = Demand(score=True, obstacles=True)
    feed(engine, sink, 0.3)
    settle(masks, 1)
    assert len(masks.images) == 1
    assert len(sink.results[-1].obstacles.regions) == 1


def test_a_failing_generator_leaves_coarse_scores_and_is_said(run):
    masks = Masks()
    masks.fail = True
    engine, sink = run(masks=masks, settings=Settings(CadenceSettings(every_n=1)))
    feed(engine, sink, 0.0)
    settle(masks, 1)
    feed(engine, sink, 0.1)
    assert sink.results[-1].refined.mask_count is None
    assert "no masks today" in sink.warnings[0]
    assert engine.masks.failures >= 1
    settle(masks, 2)
    masks.fail = False
    feed(engine, sink, 0.2)
    settle(masks, 3)
    feed(engine, sink, 0.3)
    assert sink.results[-1].refined.mask_count == 4


def test_a_failing_detector_costs_that_frame_only(run):
    engine, sink = run(MoodyDetector())
    feed(engine, sink, 0.0, picture(first=(0, 255, 0)))
    feed(engine, sink, 0.1)
    assert [result.frame.stamp_s for result in sink.results] == [0.1]
    assert "green makes me fail" in sink.errors[0]
    assert engine.cameras[""].counters.failed == 1
    assert "green makes me fail" in engine.last_error[1]


@pytest.mark.parametrize("error", [SystemExit("bye"), KeyboardInterrupt()])
def test_a_detector_that_ends_its_thread_costs_that_frame_only(run, error):
    class Ending(RednessDetector):
        def detect(self, image):
            if image[0, 0].tolist() == [0, 255, 0]:
                raise error
            return super().detect(image)

    engine, sink = run(Ending())
    feed(engine, sink, 0.0, picture(first=(0, 255, 0)))
    feed(engine, sink, 0.1)
    assert f"the detector failed: {type(error).__name__}" in sink.errors[0]
    assert engine.cameras[""].counters.failed == engine.cameras[""].counters.scored == 1


class Hanging(RednessDetector):
    """Waits on images whose first pixel is green."""

    def __init__(self):
        super().__init__()
        self.entered, self.go = threading.Event(), threading.Event()
        self.asked = 0

    def detect(self, image):
        self.asked += 1
        if image[0, 0].tolist() == [0, 255, 0]:
            self.entered.set()
            assert self.go.wait(60)
        return super().detect(image)


def hang(engine, detector, stamp, camera=""):
    engine.submit(Frame(camera, stamp, time.monotonic(), picture(first=(0, 255, 0))))
    assert detector.entered.wait(60)


def ended(thread):
    thread.join(60)
    return not thread.is_alive()


def test_a_detector_that_hangs_is_a_problem_after_a_second(run):
    now, detector = [0.0], Hanging()
    engine, sink = run(detector, clock=lambda: now[0])
    feed(engine, sink, 0.0)
    hang(engine, detector, 0.1)
    now[0] = 1.0
    assert engine.problem() is None
    now[0] = 1.1
    assert engine.problem() == "the detector has taken 1 s and has not ended"
    now[0] = 9.0
    engine.supervise()
    assert sink.errors == []
    detector.go.set()
    assert sink.done.acquire(timeout=60)
    assert [result.frame.stamp_s for result in sink.results] == [0.0, 0.1]
    while engine.problem() is not None:
        time.sleep(0.005)


def test_slow_frames_are_no_problem_where_all_are_slow(run):
    now, detector = [0.0], Hanging()

    class Slow(RednessDetector):
        def detect(self, image):
            now[0] += 4.0
            return detector.detect(image)

    engine, sink = run(Slow(), clock=lambda: now[0])
    feed(engine, sink, 0.0)
    hang(engine, detector, 0.1)
    now[0] += 10.0
    assert engine.problem() is None
    now[0] += 10.0
    assert "the detector has taken 24 s" in engine.problem()
    detector.go.set()


def test_a_detector_that_hangs_is_replaced_and_never_heard_of_again(run):
    now, first, second = [0.0], Hanging(), Hanging()
    masks = Masks()
    engine, sink = run(first, masks, clock=lambda: now[0], reload=lambda: second, queue_size=1)
    feed(engine, sink, 0.0)
    hang(engine, first, 0.1)
    hung = engine._scoring.thread
    now[0] = 11.0
    engine.supervise()
    assert "the detector has taken 11 s" in sink.errors[0]
    assert "is started again" in sink.errors[0]
    assert engine.cameras[""].counters.failed == 1  # the frame that hangs
    assert sink.done.acquire(timeout=60)  # of the error
    feed(engine, sink, 0.2)
    assert engine.detector is second
    assert engine.problem() is None
    first.go.set()
    assert ended(hung)
    feed(engine, sink, 0.3)
    assert [result.frame.stamp_s for result in sink.results] == [0.0, 0.2, 0.3]
    assert len(sink.coarse_scores) == 3
    assert (first.asked, second.asked) == (2, 2)


def test_only_one_hanging_thread_is_left_behind(run):
    now, detectors = [0.0], [Hanging(), Hanging(), Hanging()]
    spare = iter(detectors[1:])
    engine, sink = run(detectors[0], clock=lambda: now[0], reload=lambda: next(spare))
    feed(engine, sink, 0.0)
    hang(engine, detectors[0], 0.1)
    now[0] = 11.0
    engine.supervise()
    assert sink.done.acquire(timeout=60)
    hang(engine, detectors[1], 0.2)
    stuck = engine._scoring.thread
    now[0] = 100.0
    engine.supervise()
    assert engine._scoring.thread is stuck
    assert "the detector has taken 89 s" in engine.problem()
    abandoned = engine._scoring._abandoned
    detectors[0].go.set()
    assert ended(abandoned)
    engine.supervise()
    assert sink.done.acquire(timeout=60)
    feed(engine, sink, 0.3)
    assert engine.detector is detectors[2]
    detectors[1].go.set()


def test_without_another_detector_a_hanging_one_is_left_alone(run):
    now, detector = [0.0], Hanging()
    engine, sink = run(detector, clock=lambda: now[0])
    feed(engine, sink, 0.0)
    hang(engine, detector, 0.1)
    now[0] = 100.0
    engine.supervise()
    assert sink.errors == []
    detector.go.set()


def test_the_first_frame_may_take_long(run):
    now, detector = [0.0], Hanging()
    engine, sink = run(detector, clock=lambda: now[0], reload=Hanging)
    hang(engine, detector, 0.0)
    now[0] = 100.0
    engine.supervise()
    assert sink.errors == []
    assert "the detector has taken 100 s" in engine.problem()
    detector.go.set()


def test_a_sink_that_hangs_is_left_behind_with_its_frame(run):
    now, entered, go = [0.0], threading.Event(), threading.Event()
    engine, sink = run(clock=lambda: now[0])
    feed(engine, sink, 0.0)
    publish = sink.coarse

    def hanging(frame, score):
        entered.set()
        assert go.wait(60)

    sink.coarse = hanging
    engine.submit(Frame("", 0.1, time.monotonic(), picture()))
    assert entered.wait(60)
    sink.coarse, hung = publish, engine._scoring.thread
    now[0] = 11.0
    engine.supervise()
    assert "publishing has taken 11 s" in sink.errors[0]
    assert sink.done.acquire(timeout=60)
    go.set()
    assert ended(hung)
    feed(engine, sink, 0.2)
    assert [result.frame.stamp_s for result in sink.results] == [0.0, 0.2]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_scoring_thread_is_a_problem_and_is_started_again(run):
    engine, sink = run(MoodyDetector())
    error = sink.error

    def exits(key, text):
        raise SystemExit

    sink.error = exits
    engine.submit(Frame("", 0.0, 0.0, picture(first=(0, 255, 0))))
    assert ended(engine._scoring.thread)
    assert engine.problem() == "the scoring thread has ended"
    sink.error = error
    engine.supervise()
    assert sink.errors == ["the scoring thread has ended: the scoring thread is started again"]
    assert sink.done.acquire(timeout=60)
    feed(engine, sink, 0.1)
    assert engine.problem() is None


def test_a_detector_that_cannot_be_loaded_again_is_a_problem_and_tried_again(run):
    now, first, tries = [0.0], Hanging(), []

    def load():
        tries.append(now[0])
        if len(tries) == 1:
            raise MemoryError("no room")
        return RednessDetector()

    engine, sink = run(first, clock=lambda: now[0], reload=load, cameras=("front",))
    feed(engine, sink, 0.0, camera="front")
    hang(engine, first, 0.1, "front")
    now[0] = 11.0
    assert "with an image of camera 'front'" in engine.problem()
    engine.supervise()
    assert ended(engine._scoring.thread)
    assert "could not be loaded: MemoryError: no room" in sink.errors[1]
    assert engine.problem() == "the scoring thread has ended"
    now[0] = 15.0
    engine.supervise()
    assert len(tries) == 1
    now[0] = 21.1
    engine.supervise()
    for _ in range(3):
        assert sink.done.acquire(timeout=60)
    feed(engine, sink, 0.2, camera="front")
    assert tries == [11.0, 21.1]
    first.go.set()


def test_masks_that_keep_failing_are_a_problem_until_one_works(run):
    now, masks = [0.0], Masks()
    masks.fail = True
    engine, sink = run(
        masks=masks, settings=Settings(CadenceSettings(every_n=1)), clock=lambda: now[0]
    )
    for k, told in ((0, False), (1, False), (2, True)):
        now[0] = 6.0 * k
        feed(engine, sink, float(k))
        settle(masks, k + 1)
        assert (engine.problem() is not None) == told
    assert engine.problem() == (
        "no masks for 12 s: masks could not be generated: RuntimeError: no masks today"
    )
    masks.fail = False
    feed(engine, sink, 3.0)
    settle(masks, 4)
    assert engine.problem() is None


def test_mask_generation_that_hangs_is_a_problem(run):
    now, masks = [0.0], Masks()
    masks.free.clear()
    engine, sink = run(masks=masks, clock=lambda: now[0])
    feed(engine, sink, 0.0)
    settle(masks, 1)
    now[0] = 60.0
    assert engine.problem() is None
    now[0] = 61.0
    assert engine.problem() == "mask generation has taken 61 s and has not ended"
    masks.free.set()


NOT_FINITE = np.zeros(SHAPE, np.float32)
NOT_FINITE[3, 5:8] = np.nan
UNFIT = {
    "shape": (np.zeros((24, 64), np.float32), r"scores of shape \(24, 64\) for an image of"),
    "not finite": (NOT_FINITE, "3 scores of 3072 that are not finite"),
    "complex": (np.zeros(SHAPE, complex), "scores of complex128"),
}


@pytest.mark.parametrize(("score", "told"), UNFIT.values(), ids=UNFIT)
def test_an_unfit_score_fails_its_frame_with_the_reason(run, score, told):
    class Unfit(RednessDetector):
        def detect(self, image):
            return Detection(score)

    engine, sink = run(Unfit())
    feed(engine, sink, 0.0)
    assert re.search(f"the detector failed: .*{told}", sink.errors[0])
    assert engine.cameras[""].counters.failed == 1
    assert sink.results == sink.coarse_scores == []


def test_a_frame_that_brings_its_score_does_not_ask_the_detector(run):
    engine, sink = run(MoodyDetector())
    image = picture(first=(0, 255, 0))  # which would make the detector fail
    score = np.full(image.shape[:2], 7, np.float32)
    engine.submit(Frame("", 0.0, time.monotonic(), image, lambda image: score))
    assert sink.done.acquire(timeout=60)
    assert sink.results[0].detection.score is score
    assert sink.results[0].detection.road is None


def test_a_score_that_cannot_be_read_is_rejected_with_its_frame(run):
    def unreadable(image):
        raise BadImageError("no such map")

    engine, sink = run()
    engine.submit(Frame("", 0.0, time.monotonic(), picture(), unreadable))
    feed(engine, sink, 0.1)
    assert sink.warnings == ["no such map"]
    assert engine.cameras[""].counters.rejected == 1


def test_a_bad_image_is_counted_and_skipped(run):
    engine, sink = run()
    feed(engine, sink, 0.0, "wrong step")
    feed(engine, sink, 0.1)
    assert sink.warnings == ["wrong step"]
    assert engine.cameras[""].counters.rejected == 1
    assert engine.cameras[""].counters.scored == 1


class Gate(RednessDetector):
    """Waits on every image."""

    def __init__(self):
        super().__init__()
        self.entered, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def detect(self, image):
        self.entered.release()
        assert self.go.acquire(timeout=60)
        return super().detect(image)


def test_the_next_frame_is_scored_while_one_is_refined(run):
    engine, sink = run(queue_size=6)
    began, go = threading.Semaphore(0), threading.Semaphore(0)
    keep = sink.result

    def slow(result):
        began.release()
        assert go.acquire(timeout=60)
        keep(result)

    sink.result = slow
    for stamp in range(6):
        engine.submit(Frame("", float(stamp), time.monotonic(), picture()))
    assert began.acquire(timeout=60)
    # One frame is being refined, one waits for that, and the coarse score of a third is out.
    end = time.monotonic() + 60
    while len(sink.coarse_scores) < 3 and time.monotonic() < end:
        time.sleep(0.005)
    time.sleep(0.1)
    assert sink.order == [("coarse", 0.0), ("coarse", 1.0), ("coarse", 2.0)]
    for _ in range(6):
        go.release()
    for _ in range(6):
        assert sink.done.acquire(timeout=60)
    assert [result.frame.stamp_s for result in sink.results] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_refinement_that_hangs_is_replaced_and_costs_its_frame_only(run):
    now, entered, go = [0.0], threading.Event(), threading.Event()
    masks = Masks()
    engine, sink = run(masks=masks, clock=lambda: now[0])
    feed(engine, sink, 0.0)
    keep = sink.result

    def hanging(result):
        entered.set()
        assert go.wait(60)
        keep(result)

    sink.result = hanging
    engine.submit(Frame("", 0.1, time.monotonic(), picture()))
    assert entered.wait(60)
    sink.result, hung = keep, engine._refinement.thread
    now[0] = 11.0
    assert engine.problem() == "publishing has taken 11 s and has not ended"
    engine.supervise()
    assert "the refinement thread is started again" in sink.errors[0]
    assert sink.done.acquire(timeout=60)
    feed(engine, sink, 0.2)
    assert engine.problem() is None
    go.set()
    assert ended(hung)
    assert sink.done.acquire(timeout=60)  # what was being published still is


class Heavy(Gate):
    """Has two quicker forms."""

    def __init__(self):
        super().__init__()
        self.size = 3

    def step_down(self):
        if self.size == 1:
            return None
        self.size -= 1
        return f"size {self.size + 1} -> {self.size}"

    def restore(self):
        self.size = 3


def overload(engine, sink, detector, now, seconds):
    """Hand in ten frames a second, of which five are served."""
    for _ in range(int(5 * seconds)):
        for _ in range(2):
            now[0] += 0.1
            engine.submit(Frame("", now[0], now[0], picture()))
        detector.go.release()
        assert sink.done.acquire(timeout=60)
        assert detector.entered.acquire(timeout=60)


@pytest.mark.parametrize("keep_up", [True, False])
def test_a_detector_that_is_too_slow_for_long_is_made_quicker(run, keep_up):
    now, detector = [0.0], Heavy()
    settings = Settings(obstacles=ObstacleSettings(high=0.5), keep_up=keep_up)
    engine, sink = run(detector, settings=settings, clock=lambda: now[0], queue_size=2)
    engine.submit(Frame("", 0.0, 0.0, picture()))
    assert detector.entered.acquire(timeout=60)
    overload(engine, sink, detector, now, 2)
    assert (detector.size, engine.adapted) == (3, "")
    overload(engine, sink, detector, now, 3)
    if keep_up:
        assert (detector.size, engine.adapted) == (2, "size 3 -> 2")
        assert "the detector is made quicker (size 3 -> 2)" in sink.warnings[0]
        assert sink.results[-1].adapted == "size 3 -> 2"
        assert sink.results[0].adapted == ""
    overload(engine, sink, detector, now, 10)
    assert (detector.size, len(sink.warnings)) == ((1, 2) if keep_up else (3, 0))
    assert engine.adapted == ("size 3 -> 2, size 2 -> 1" if keep_up else "")
    for _ in range(5):
        detector.go.release()


def test_a_detector_that_is_not_what_is_slow_is_left_alone(run):
    now = [0.0]

    class Quick(Heavy):
        def detect(self, image):
            return RednessDetector.detect(self, image)

    detector = Quick()
    engine, sink = run(detector, clock=lambda: now[0], queue_size=2)
    decode, entered, go = sink.decode, threading.Semaphore(0), threading.Semaphore(0)

    def slow(frame):
        entered.release()
        assert go.acquire(timeout=60)
        return decode(frame)

    sink.decode = slow
    engine.submit(Frame("", 0.0, 0.0, picture()))
    assert entered.acquire(timeout=60)
    for _ in range(50):
        for _ in range(2):
            now[0] += 0.1
            engine.submit(Frame("", now[0], now[0], picture()))
        go.release()
        assert sink.done.acquire(timeout=60)
        assert entered.acquire(timeout=60)
    assert engine.cameras[""].counters.dropped > 30
    assert (detector.size, engine.adapted) == (3, "")
    for _ in range(5):
        go.release()


def test_a_detector_that_fails_to_become_quicker_goes_on(run):
    class Stubborn(Heavy):
        def step_down(self):
            self.size -= 1
            raise RuntimeError("no smaller size")

    now, detector = [0.0], Stubborn()
    engine, sink = run(detector, clock=lambda: now[0], queue_size=2)
    engine.submit(Frame("", 0.0, 0.0, picture()))
    assert detector.entered.acquire(timeout=60)
    overload(engine, sink, detector, now, 10)
    assert detector.size == 2, "it is asked once"
    assert sink.warnings == [
        "the detector could not be made quicker: RuntimeError: no smaller size"
    ]
    assert engine.problem() is None
    for _ in range(5):
        detector.go.release()


def test_beyond_capacity_the_oldest_frames_are_dropped_and_counted(run):
    gate, masks = Gate(), Masks()
    engine, sink = run(gate, masks, settings=Settings(CadenceSettings(every_n=5)), queue_size=2)
    engine.submit(Frame("", 0.0, 0.0, picture()))
    assert gate.entered.acquire(timeout=60)  # the first is in the detector
    for k in range(1, 7):
        engine.submit(Frame("", float(k), 0.0, picture()))
    for _ in range(3):
        gate.go.release()
        assert sink.done.acquire(timeout=60)
    assert [result.frame.stamp_s for result in sink.results] == [0.0, 5.0, 6.0]
    counters = engine.cameras[""].counters
    assert (counters.received, counters.scored, counters.dropped) == (7, 3, 4)
    settle(masks, 2)  # dropped frames count for the cadence


def test_when_stamps_go_back_masks_and_obstacles_are_forgotten(run):
    masks = Masks()
    settings = Settings(CadenceSettings(every_n=100), "hold", ObstacleSettings(high=0.5))
    engine, sink = run(masks=masks, settings=settings)
    for k in range(3):
        feed(engine, sink, 100 + k / 2)
        settle(masks, 1)
    assert sink.results[-1].refined.mask_count == 4
    ids = sink.results[-1].obstacles.ids
    feed(engine, sink, 100.0)  # the bag starts over
    assert not set(ids) & set(sink.results[-1].obstacles.ids)
    assert sink.results[-1].refined.mask_count is None
    assert len(sink.warnings) == 1
    assert "went back from 101.000 s to 100.000 s" in sink.warnings[0]
    settle(masks, 2)  # the first frame of the new round is a keyframe
    feed(engine, sink, 100.1)
    assert sink.results[-1].refined.age_frames == 1
    assert len(sink.warnings) == 1


def disordered():
    """300 stamps, 11 pairs of them swapped."""
    stamps = [k / 10 for k in range(300)]
    for first in range(20, 300, 25)[:11]:
        stamps[first], stamps[first + 1] = stamps[first + 1], stamps[first]
    return stamps


def jittered():
    """300 stamps of 60 frames a second that jitter by 20 ms."""
    jitter = np.random.default_rng(3).uniform(-0.02, 0.02, 300)
    return (10 + np.arange(300) / 60 + jitter).tolist()


@pytest.mark.parametrize("stamps", [disordered(), jittered()], ids=["swapped", "jitter"])
def test_frames_out_of_order_are_scored_and_reset_nothing(run, stamps):
    masks = Masks()
    settings = Settings(CadenceSettings(every_n=1000), "hold", ObstacleSettings(high=0.1), 100.0)
    engine, sink = run(masks=masks, settings=settings)
    feed(engine, sink, stamps[0])
    settle(masks, 1)
    for stamp in stamps[1:]:
        feed(engine, sink, stamp)
    assert [result.frame.stamp_s for result in sink.results] == stamps
    assert sink.warnings == []
    assert len(masks.images) == 1
    assert len({tuple(result.obstacles.ids) for result in sink.results[1:]}) == 1
    assert all(result.refined.mask_count == 4 for result in sink.results[1:])
    late = sum(stamp < max(stamps[: k + 1]) for k, stamp in enumerate(stamps))
    assert engine.cameras[""].counters.late == late >= 11


@pytest.mark.parametrize("propagation", ["flow", "hold", "none"])
def test_a_late_frame_moves_no_masks_and_is_no_keyframe(run, propagation):
    masks = Masks()
    settings = Settings(CadenceSettings(every_n=2), propagation, max_age_s=100.0)
    engine, sink = run(masks=masks, settings=settings)
    feed(engine, sink, 10.0)
    settle(masks, 1)
    late = picture(x=40)
    for stamp in (9.5, 9.6, 9.7):
        feed(engine, sink, stamp, late)
    engine.request_refinement()
    feed(engine, sink, 9.8, late)
    assert len(masks.images) == 1
    feed(engine, sink, 10.1)
    settle(masks, 2)
    assert sink.results[-1].refined.mask_count == 4
    np.testing.assert_array_equal(masks.images[1], picture())


def test_a_late_frame_of_another_size_changes_nothing(run):
    masks = Masks()
    engine, sink = run(masks=masks, settings=Settings(CadenceSettings(every_n=100)))
    feed(engine, sink, 10.0)
    settle(masks, 1)
    feed(engine, sink, 10.1)
    feed(engine, sink, 10.0, np.zeros((20, 30, 3), np.uint8))
    assert sink.results[-1].refined.mask_count is None
    feed(engine, sink, 10.2)
    assert sink.results[-1].refined.mask_count == 4


def test_a_later_engine_and_other_cameras_use_no_id_again(run):
    ids, seen = obstacle_ids(), []
    for _ in range(2):  # the node is activated again
        engine, sink = run(ids=ids, cameras=("left", "right"))
        for camera in ("left", "right"):
            feed(engine, sink, 1.0, camera=camera)
            seen += sink.results[-1].obstacles.ids
    assert seen == [1, 2, 3, 4]


def test_masks_of_before_a_clock_jump_are_discarded_when_they_come_late(run):
    masks = Masks()
    masks.free.clear()
    settings = Settings(CadenceSettings(every_n=100), "hold")
    engine, sink = run(masks=masks, settings=settings)
    feed(engine, sink, 100.0)
    settle(masks, 1)
    feed(engine, sink, 5.0)
    masks.free.set()
    settle(masks, 2)
    feed(engine, sink, 5.1)
    refined = sink.results[-1].refined
    assert refined.age_s == pytest.approx(0.1)  # not -94.9
    assert refined.age_frames == 1


def test_equal_stamps_are_no_jump(run):
    engine, sink = run()
    for _ in range(3):
        feed(engine, sink, 7.0)
    assert sink.warnings == []


def test_cameras_have_their_own_masks_obstacles_and_counters(run):
    masks = Masks()
    settings = Settings(CadenceSettings(every_n=5), "hold", ObstacleSettings(high=0.2))
    engine, sink = run(masks=masks, settings=settings, cameras=("front", "left"))
    feed(engine, sink, 10.0, camera="front")
    settle(masks, 1)
    feed(engine, sink, 1.0, camera="left")  # its clock is its own
    assert sink.warnings == []
    assert sink.results[-1].refined.mask_count is None
    feed(engine, sink, 10.1, camera="front")
    assert sink.results[-1].refined.mask_count == 4
    assert engine.cameras["front"].counters.scored == 2
    assert engine.cameras["left"].counters.scored == 1


def test_more_obstacles_than_are_tracked_are_told(run):
    class Noisy(RednessDetector):
        def detect(self, image):
            score = np.zeros(SHAPE, np.float32)
            score[::2, ::2] = 1
            return Detection(score)

    engine, sink = run(Noisy())
    feed(engine, sink, 0.0)
    assert sink.warnings == [
        "an image has 256 obstacles or more, and the smallest are left out: raise threshold.high "
        "or min_area"
    ]


def test_without_a_threshold_no_obstacles_are_looked_for(run):
    engine, sink = run(settings=Settings(obstacles=None))
    feed(engine, sink, 0.0)
    assert sink.results[0].obstacles is None


def test_after_close_nothing_comes_out(run):
    engine, sink = run()
    assert engine.close(60)
    engine.submit(Frame("", 0.0, 0.0, picture()))
    assert not sink.done.acquire(timeout=0.2)


class Stranger(RednessDetector):
    """Finds all images strange."""

    def detect(self, image):
        return replace(super().detect(image), strangeness=1.5)


def test_a_camera_that_stays_strange_is_said_once(run):
    now = [0.0]
    engine, sink = run(Stranger(), clock=lambda: now[0])
    for second in range(25):
        now[0] = float(second)
        feed(engine, sink, float(second))
    said = [text for text in sink.warnings if "objectomaly learn" in text]
    assert len(said) == 1
    assert engine.cameras[""].strangeness.lasts
