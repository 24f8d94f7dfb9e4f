"""The experiment pairs frames with keyframes, refines like the node, and averages over clips."""

import numpy as np
import pytest

from objectomaly_ros.oasc import OascRule
from objectomaly_ros.video.cells import Cells
from tools.experiments.frame_scores import FrameScores
from tools.experiments.propagation import (
    Masks,
    Row,
    every_nth,
    follow,
    follow_both,
    measure,
    of_age,
    refine,
)

SHAPE = (96, 128)


def still(rule, count=4, level=0.8):
    """Return frames of a still scene, each with new noise in its score, and their cells."""
    rng = np.random.default_rng(1)
    image = np.kron(rng.integers(0, 255, (12, 16, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    labels = np.zeros(SHAPE, np.uint8)
    labels[32:64, 32:64] = 1
    frames = [
        FrameScores(image, labels, {"noisy": (labels + noise).astype(np.float32)})
        for noise in rng.normal(0, level, (count, *SHAPE))
    ]
    tiles = np.arange(12 * 16, dtype=np.int32).reshape(1, 12, 16)
    cells = [Cells.from_label_maps(tiles, SHAPE, rule=rule)] * count
    return frames, cells


def test_pairs_of_frame_and_keyframe():
    assert of_age(5, 3) == [(3, 0), (4, 1)]
    assert every_nth(5, 2) == [(0, 0), (1, 0), (2, 2), (3, 2), (4, 4)]
    assert every_nth(5, 3, 1) == [(1, 1), (2, 1), (3, 1), (4, 4)]


def test_a_scene_that_stands_still_loses_nothing():
    frames, cells = still(OascRule())
    masks = Masks(cells, None, follow(frames, cells)[0])
    pairs = of_age(4, 2)
    maps = refine(frames, masks, "noisy", set(pairs))
    row = measure(frames, maps, "noisy", "2 frames old", [pairs])
    assert row.frames == 2
    assert row.flow == row.hold == row.own
    assert row.none == row.coarse
    assert row.own[0] > row.coarse[0] + 10
    assert row.own[1] < row.coarse[1]
    assert row.kept("flow") == "100/100"


def test_both_sides_of_a_scene_that_stands_still_are_one():
    frames, cells = still(OascRule())
    pairs = every_nth(4, 2)
    maps = refine(frames, Masks(cells, None, follow_both(frames, cells)[0], 2), "noisy", set(pairs))
    for pair in pairs:
        np.testing.assert_allclose(maps["both"][pair], maps["flow"][pair], rtol=0, atol=1e-6)
    assert set(maps["both"]) == set(pairs)


def test_fresh_masks_join_those_of_an_earlier_frame_only():
    frames, fresh = still(OascRule("inverse_variance"))
    whole = Cells.from_masks(np.ones((1, *SHAPE), bool), SHAPE, rule=OascRule("inverse_variance"))
    own = [whole] * 4
    moved, _ = follow(frames, own)
    maps = refine(frames, Masks(own, fresh, moved), "noisy", {(2, 1), (2, 2)})
    assert np.ptp(maps["own"][2, 1]) < 0.01
    assert np.ptp(maps["flow"][2, 2]) < 0.01
    assert np.ptp(maps["flow"][2, 1]) > 0.5


def test_figures_are_means_over_the_clips():
    frames, cells = still(OascRule())
    pairs = every_nth(4, 2)
    maps = refine(frames, Masks(cells, None, follow(frames, cells)[0]), "noisy", set(pairs))
    first, second, both = (
        measure(frames, maps, "noisy", "", clips)
        for clips in ([pairs[:2]], [pairs[1:]], [pairs[:2], pairs[1:]])
    )
    assert first.coarse != second.coarse
    assert both.coarse == pytest.approx(np.mean([first.coarse, second.coarse], axis=0), abs=0.011)
    assert both.frames == 3


def test_what_is_kept_of_the_gain():
    row = Row(
        "d", "m", 9, (70.0, 5.0), (72.0, 4.0), (71.5, 4.5), (71.8, 4.2), (69.0, 5.5), (70.0, 5.0)
    )
    assert row.kept("flow") == "75/50"
    assert row.kept("both") == "90/80"
    assert row.kept("hold") == "-50/-50"
    none = Row(
        "d", "m", 9, (70.0, 5.0), (69.0, 5.05), (71.5, 4.5), (71.8, 4.2), (69.0, 5.5), (70.0, 5.0)
    )
    assert none.kept("flow") == "-/-"
