"""Which frames are refined with which keyframe's masks, and that own masks are age 0."""

import numpy as np
from measure_propagation import every_nth, follow, measure, of_age
from refinement_frames import FrameScores

from objectomaly_ros.cells import Cells
from objectomaly_ros.oasc_rule import OascRule


def test_pairs_of_frame_and_keyframe():
    assert of_age(5, 3) == [(3, 0), (4, 1)]
    assert every_nth(5, 2) == [(0, 0), (1, 0), (2, 2), (3, 2), (4, 4)]


def test_a_scene_that_stands_still_loses_nothing_but_trust():
    rng = np.random.default_rng(1)
    image = np.kron(rng.integers(0, 255, (12, 16, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    labels = np.zeros((96, 128), np.uint8)
    labels[32:64, 32:64] = 1
    score = (labels + rng.normal(0, 0.8, labels.shape)).astype(np.float32)
    frames = [FrameScores(image, labels, {"noisy": score})] * 4
    tiles = np.arange(12 * 16, dtype=np.int32).reshape(1, 12, 16)
    cells = [Cells.from_tilings(tiles, labels.shape, rule=OascRule())] * 4
    moved, _ = follow(frames, cells)
    row = measure(frames, cells, moved, "noisy", "2 frames old", of_age(4, 2))
    assert row.frames == 2
    assert row.flow == row.hold == row.own
    assert row.none == row.coarse
    assert row.own[0] > row.coarse[0] + 10
    assert row.own[1] < row.coarse[1]
