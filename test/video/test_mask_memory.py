"""Masks that remember: equal to one mean over all pixels of all frames, each with its weight."""

import numpy as np
import plain_rules
import pytest
from scenes import blobs, rough_score

from objectomaly_ros.oasc import OascRule
from objectomaly_ros.video.cells import Cells
from objectomaly_ros.video.incidence import CellSums
from objectomaly_ros.video.mask_memory import MaskMemory

SHAPE = (30, 40)


def frames(count=3):
    rng = np.random.default_rng(8)
    return [rough_score(rng, *SHAPE) for _ in range(count)]


def masks():
    return blobs(np.random.default_rng(9), 6, *SHAPE)


@pytest.mark.parametrize("overlap", ["largest", "smallest"])
def test_means_are_over_the_frames_the_older_counting_less(overlap):
    scores, found = frames(), masks()
    cells = Cells.from_masks(found, SHAPE, rule=OascRule(overlap, memory_s=0.2))
    memory = MaskMemory(0.2)
    for score, age_s in zip(scores, (0.0, 0.1, 0.3), strict=True):
        result = cells.calibrate(score, age_s, memory)
    weights = np.exp([-1.5, -1.0, 0.0])
    mean = np.tensordot(weights / weights.sum(), scores, axes=1)
    expected = plain_rules.calibrate(mean.astype(np.float32), found, overlap, 0.0)
    covered = found.any(axis=0)
    np.testing.assert_allclose(result[covered], expected[covered], rtol=0, atol=2e-6)
    np.testing.assert_array_equal(result[~covered], scores[-1][~covered])


def test_masks_that_moved_keep_what_they_saw():
    """The weight of a frame is that of the pixels seen in it."""
    cells = Cells.from_masks(np.ones((1, 1, 4), bool), (1, 4))
    memory = MaskMemory(np.inf)
    cells.calibrate(np.float32([[0, 0, 1, 1]]), 0.0, memory)
    partly = cells.with_ids(np.array([[0, 0, 1, 1]]))
    result = partly.calibrate(np.float32([[7, 7, 8, 8]]), 0.1, memory)
    np.testing.assert_allclose(result, [[7, 7, 3, 3]])  # (0 + 0 + 1 + 1 + 8 + 8) / 6


def test_a_mask_that_flickers_agrees_less():
    """Under `inverse_variance` the variance is over the frames too, in each frame's units."""
    rng = np.random.default_rng(10)
    found = np.zeros((2, *SHAPE), bool)
    found[0, :, :30], found[1, :, 10:] = True, True
    noise = rng.normal(0, 1, SHAPE).astype(np.float32)
    steady, flickering = noise.copy(), noise.copy()
    flickering[:, :10] += 8
    rule = OascRule("inverse_variance", memory_s=1.0)
    cells = Cells.from_masks(found, SHAPE, rule=rule)
    left, right = found[0] & ~found[1], found[1] & ~found[0]
    changed, same = MaskMemory(1.0), MaskMemory(1.0)
    cells.calibrate(flickering, 0.0, changed)
    cells.calibrate(steady, 0.0, same)
    after = cells.votes(steady, 0.1, changed).weights[cells.ids]
    before = cells.votes(steady, 0.1, same).weights[cells.ids]
    assert after[left].mean() < 0.95 * before[left].mean()
    once = cells.votes(steady).weights[cells.ids]
    np.testing.assert_allclose(before[right], once[right], rtol=1e-5)


@pytest.mark.parametrize("overlap", ["largest", "inverse_variance"])
def test_no_memory_is_one_frames_means(overlap):
    scores = frames(2)
    cells = Cells.from_masks(masks(), SHAPE, rule=OascRule(overlap, 0.5))
    memory = MaskMemory(0.0)
    cells.remember(scores[0], 0.0, memory)
    result = cells.calibrate(scores[1], 0.1, memory)
    np.testing.assert_array_equal(result, cells.calibrate(scores[1], 0.1))


@pytest.mark.parametrize("overlap", ["largest", "inverse_variance"])
def test_to_remember_is_to_calibrate_without_a_result(overlap):
    first, second, _ = frames()
    first[5:8, 5:30] = np.nan  # left out of the memory, and spoils nobody later
    cells = Cells.from_masks(masks(), SHAPE, rule=OascRule(overlap))
    by_remember, by_calibrate = MaskMemory(1.0), MaskMemory(1.0)
    cells.remember(first, 0.0, by_remember)
    cells.calibrate(first, 0.0, by_calibrate)
    result = cells.calibrate(second, 0.1, by_remember)
    assert np.isfinite(result).all()
    np.testing.assert_array_equal(result, cells.calibrate(second, 0.1, by_calibrate))
    assert not np.array_equal(result, cells.calibrate(second, 0.1))


def test_sums_of_two_frames():
    ones, twos = np.ones(3), np.full(3, 2.0)
    joined = CellSums(ones, twos, ones).plus(CellSums(twos, ones, twos), 0.5)
    np.testing.assert_array_equal(
        [joined.sums, joined.sizes, joined.squares], [twos, 2.5 * ones, twos]
    )
    assert CellSums(ones, ones).plus(CellSums(twos, ones), 0.5).squares is None
