import numpy as np
import pytest

from objectomaly_ros.cells import Cells
from objectomaly_ros.runtime.mask_follower import MaskFollower
from objectomaly_ros.runtime.mask_server import KeyframeMasks
from objectomaly_ros.runtime.refinement_worker import Keyframe

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
    follower = MaskFollower()
    follower.step(scene(0))
    key = keyframe(follower.start())
    for shift in (4, 8, 12):  # the masks are still being made
        follower.step(scene(shift))
        assert follower.current(SHAPE) is None
    follower.adopt(key, box_masks())
    assert left_edge(follower.current(SHAPE)) == pytest.approx(52, abs=2)
    follower.step(scene(16))
    assert left_edge(follower.current(SHAPE)) == pytest.approx(56, abs=2)


def test_newer_masks_take_the_place_of_older_ones():
    follower = MaskFollower()
    follower.step(scene(0))
    follower.adopt(keyframe(follower.start()), box_masks(40))
    newer = keyframe(follower.start(), number=5)
    follower.adopt(newer, box_masks(90))
    current = follower.current(SHAPE)
    assert current.keyframe is newer
    assert left_edge(current) == 90


def test_hold_masks_stay_where_they_were():
    follower = MaskFollower()
    follower.mode = "hold"
    follower.step(scene(0))
    follower.adopt(keyframe(follower.start()), box_masks())
    for shift in (10, 20):
        follower.step(scene(shift))
        assert left_edge(follower.current(SHAPE)) == 40


def test_none_masks_serve_one_frame():
    follower = MaskFollower()
    follower.mode = "none"
    follower.step(scene(0))
    follower.adopt(keyframe(follower.start()), box_masks())
    assert left_edge(follower.current(SHAPE)) == 40
    follower.step(scene(4))
    assert follower.current(SHAPE) is None


def test_masks_of_another_resolution_are_not_used():
    follower = MaskFollower()
    follower.step(scene(0))
    follower.adopt(keyframe(follower.start()), box_masks())
    small = scene(0)[::2, ::2].copy()
    follower.step(small)
    assert follower.current((60, 80)) is None
    assert follower.current(SHAPE) is None


def test_reset_forgets_and_late_masks_of_before_find_no_track():
    follower = MaskFollower()
    follower.step(scene(0))
    key = keyframe(follower.start())
    follower.reset()
    follower.step(scene(0))
    follower.adopt(key, box_masks())
    assert follower.current(SHAPE) is None
