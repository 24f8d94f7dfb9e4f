"""Masks of two frames joined: as if all were of one, but that the older count less."""

import math

import numpy as np
import pytest
from scenes import rough_score

from objectomaly_ros.oasc import OascRule
from objectomaly_ros.video.cells import Cells, calibrate_between

SHAPE = (41, 52)


def label_maps(seed=4, low=-1):
    """Four random divisions into blobs, with holes where `low` is -1."""
    coarse = np.random.default_rng(seed).integers(low, 6, (4, 9, 8))
    return np.repeat(np.repeat(coarse, 5, axis=1), 7, axis=2)[:, : SHAPE[0], : SHAPE[1]]


def score(seed=1):
    return rough_score(np.random.default_rng(seed), *SHAPE)


@pytest.mark.parametrize("residual", [0.0, 0.5])
def test_masks_without_age_are_masks_of_one_set(residual):
    rule = OascRule("inverse_variance", residual, fade_s=0.5)
    both, old, fresh = (
        Cells.from_label_maps(part, SHAPE, rule=rule)
        for part in (label_maps(), label_maps()[:1], label_maps()[1:])
    )
    result = old.calibrate(score(), 0.0, fresh)
    np.testing.assert_allclose(result, both.calibrate(score()), rtol=0, atol=2e-6)


def test_the_older_the_less_they_decide():
    rule = OascRule("inverse_variance", 0.2, fade_s=0.5)
    old = Cells.from_label_maps(label_maps(1, 0), SHAPE, rule=rule)
    fresh = Cells.from_label_maps(label_maps(2, 0), SHAPE, rule=rule)
    alone = old.calibrate(score())
    distances = [
        np.abs(old.calibrate(score(), age_s, fresh) - alone).mean() for age_s in (0.0, 0.5, 5.0)
    ]
    assert 0 < 1.2 * distances[0] < distances[1]
    assert 1.2 * distances[1] < distances[2]


@pytest.mark.parametrize("overlap", ["largest", "smallest"])
def test_the_papers_form_takes_no_further_masks(overlap):
    old = Cells.from_label_maps(label_maps(1), SHAPE, rule=OascRule(overlap))
    fresh = Cells.from_label_maps(label_maps(2), SHAPE, rule=OascRule(overlap))
    result = old.calibrate(score(), 0.3, fresh)
    np.testing.assert_array_equal(result, old.calibrate(score()))


def test_where_one_set_has_no_mask_the_other_decides_and_bad_pixels_spoil_nobody():
    rule = OascRule("inverse_variance")
    left, right = np.full((2, 1, *SHAPE), -1)
    left[..., :20], right[..., 30:] = 0, 0
    bad = score()
    bad[3, [5, 25, 35]] = np.nan
    old, fresh = (Cells.from_label_maps(part, SHAPE, rule=rule) for part in (left, right))
    result = old.calibrate(bad, 0.0, fresh)
    finite = np.isfinite(bad)
    assert np.isnan(result[3, 25])
    assert np.isnan(result).sum() == 1
    np.testing.assert_array_equal(result[:, 20:30], bad[:, 20:30])
    for part in (np.s_[:, :20], np.s_[:, 30:]):
        expected = bad[part][finite[part]].mean(dtype=np.float64)
        np.testing.assert_allclose(result[part], expected, rtol=0, atol=2e-6)


def test_no_masks_at_all_leave_the_score():
    rule = OascRule("inverse_variance", 0.5)
    none = Cells.from_label_maps(np.full((1, *SHAPE), -1), SHAPE, rule=rule)
    np.testing.assert_array_equal(none.calibrate(score(), 0.1, none), score())


def two_keyframes(overlap, residual=0.0):
    fade_s = 0.5 if overlap == "inverse_variance" else math.inf
    rule = OascRule(overlap, residual, fade_s)
    return [Cells.from_label_maps(label_maps(seed)[:1], SHAPE, rule=rule) for seed in (1, 2)]


@pytest.mark.parametrize("overlap", ["largest", "smallest", "inverse_variance"])
def test_the_same_masks_from_both_sides_are_those_masks(overlap):
    one, _ = two_keyframes(overlap, 0.3)
    result = calibrate_between(score(), (one, 0.0), (one, 0.0))
    np.testing.assert_allclose(result, one.calibrate(score()), rtol=0, atol=2e-6)


@pytest.mark.parametrize("overlap", ["largest", "inverse_variance"])
def test_the_nearer_keyframe_decides_more(overlap):
    before, after = two_keyframes(overlap)
    alone = before.calibrate(score())
    near, far = (
        np.abs(calibrate_between(score(), (before, age_s), (after, 1 - age_s)) - alone).mean()
        for age_s in (0.1, 0.9)
    )
    assert near < far


@pytest.mark.parametrize("overlap", ["largest", "smallest"])
def test_a_pixel_without_masks_on_one_side_takes_those_of_the_other(overlap):
    before, after = two_keyframes(overlap)
    only = (before.ids > 0) & (after.ids == 0)
    neither = (before.ids == 0) & (after.ids == 0)
    assert only.any()
    result = calibrate_between(score(), (before, 0.2), (after, 0.1))
    np.testing.assert_array_equal(result[only], before.calibrate(score())[only])
    np.testing.assert_array_equal(result[neither], score()[neither])


def test_keyframes_of_another_size_are_refused():
    before, after = two_keyframes("largest")
    with pytest.raises(ValueError, match="has shape"):
        calibrate_between(score()[:-1], (before, 0.1), (after, 0.1))
