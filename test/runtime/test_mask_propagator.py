import numpy as np
import pytest

from objectomaly_ros.oasc import OascRule
from objectomaly_ros.runtime.keyframes import Keyframe, KeyframeMasks
from objectomaly_ros.runtime.mask_propagator import MaskPropagator
from objectomaly_ros.video.cells import Cells

SHAPE = (120, 160)


def scene(shift):
    """A textured image that moves to the right by `shift` pixels."""
    texture = np.random.default_rng(1).integers(0, 255, (30, 60, 3), np.uint8)
    texture = np.kron(texture, np.ones((8, 8, 1), np.uint8))
    return np.ascontiguousarray(texture[: SHAPE[0], 100 - shift : 100 - shift + SHAPE[1]])


def box_masks(x=40):
    mask = np.zeros((1, *SHAPE), bool)
    mask[0, 40:80, x : x + 40] = True
    return KeyframeMasks(Cells.from_masks(mask, SHAPE), 1, 0.1)


def keyframe(track, number=1):
    image = scene(0)
    return Keyframe("", 0, number, 0.0, image, np.zeros(SHAPE, np.float32), track)


def left_edge(current):
    return int(np.flatnonzero(current.cells.ids[60])[0])


def test_flow_masks_are_moved_from_their_keyframe_though_they_come_late():
    propagator = MaskPropagator()
    propagator.step(scene(0))
    key = keyframe(propagator.start())
    for shift in (4, 8, 12):  # the masks are still being made
        propagator.step(scene(shift))
        assert propagator.current(scene(0)) is None
    propagator.adopt(key, box_masks())
    assert left_edge(propagator.current(scene(0))) == pytest.approx(52, abs=2)
    propagator.step(scene(16))
    assert left_edge(propagator.current(scene(0))) == pytest.approx(56, abs=2)


def test_newer_masks_take_the_place_of_older_ones():
    propagator = MaskPropagator()
    propagator.step(scene(0))
    propagator.adopt(keyframe(propagator.start()), box_masks(40))
    newer = keyframe(propagator.start(), number=5)
    propagator.adopt(newer, box_masks(90))
    current = propagator.current(scene(0))
    assert current.keyframe is newer
    assert left_edge(current) == 90


def test_hold_masks_stay_where_they_were():
    propagator = MaskPropagator()
    propagator.mode = "hold"
    propagator.step(scene(0))
    propagator.adopt(keyframe(propagator.start()), box_masks())
    for shift in (10, 20):
        propagator.step(scene(shift))
        assert left_edge(propagator.current(scene(0))) == 40


def test_none_masks_serve_one_frame():
    propagator = MaskPropagator()
    propagator.mode = "none"
    propagator.step(scene(0))
    propagator.adopt(keyframe(propagator.start()), box_masks())
    assert left_edge(propagator.current(scene(0))) == 40
    propagator.step(scene(4))
    assert propagator.current(scene(0)) is None


def test_masks_of_another_resolution_are_not_used():
    propagator = MaskPropagator()
    propagator.step(scene(0))
    propagator.adopt(keyframe(propagator.start()), box_masks())
    small = scene(0)[::2, ::2].copy()
    propagator.step(small)
    assert propagator.current(small) is None
    assert propagator.current(scene(0)) is None


def test_quick_masks_of_the_frame_itself_join():
    """An object that the keyframe did not show is found by them alone."""

    class LeftAndRight:
        def label_maps(self, image):
            self.image = image
            return np.kron([[[0, 1]]], np.ones(SHAPE, np.int32))[:, ::4, ::4]

    rule, fresh = OascRule("inverse_variance"), LeftAndRight()
    whole = Cells.from_masks(np.ones((1, *SHAPE), bool), SHAPE, rule=rule)
    propagator = MaskPropagator()
    propagator.step(scene(0))
    propagator.adopt(keyframe(propagator.start()), KeyframeMasks(whole, 1, 0.1, fresh))
    score = np.zeros(SHAPE, np.float32)
    score[:, 80:] = 1
    image = scene(0)
    current = propagator.current(image)
    alone = whole.calibrate(score)
    joined = current.calibrate(score, 0.0)
    assert fresh.image is image
    assert np.ptp(alone) < 1e-6
    assert joined[:, 80:].min() > 0.9
    assert joined[:, :80].max() < 0.1


def test_reset_forgets_and_late_masks_of_before_find_no_track():
    propagator = MaskPropagator()
    propagator.step(scene(0))
    key = keyframe(propagator.start())
    propagator.reset()
    propagator.step(scene(0))
    propagator.adopt(key, box_masks())
    assert propagator.current(scene(0)) is None
