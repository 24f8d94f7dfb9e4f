"""The rules beside the paper's form: equal to plain loops, chosen as documented."""

import numpy as np
import plain_rules
import pytest
from scenes import blobs, rough_score, with_ties

from objectomaly_ros.oasc import PAPER, OascRule, calibrate, rule_for
from objectomaly_ros.video.cells import Cells

RULES = [
    ("inverse_variance", 0.0),
    ("inverse_variance", 0.5),
    ("inverse_variance", 1.0),
    ("largest", 0.3),
]
RULES += [("smallest", 0.7)]


def label_maps(rng, count, height, width):
    """Random divisions into blobs of colour, some without a region here and there."""
    coarse = rng.integers(-1, 6, (count, -(-height // 5), -(-width // 7)))
    return np.repeat(np.repeat(coarse, 5, axis=1), 7, axis=2)[:, :height, :width]


def masks_of(labels):
    return np.array([t == k for t in labels for k in np.unique(t[t >= 0])], bool)


@pytest.mark.parametrize(("overlap", "residual"), RULES)
@pytest.mark.parametrize(("mask_shape", "shape"), [((40, 50), (40, 50)), ((40, 50), (23, 77))])
def test_equals_the_plain_loops(overlap, residual, mask_shape, shape):
    for seed in range(8):
        rng = np.random.default_rng([seed, 3])
        masks = with_ties(rng, blobs(rng, int(rng.integers(1, 12)), *mask_shape))
        score = rough_score(rng, *shape)
        expected = plain_rules.calibrate(score, masks, overlap, residual)
        direct = calibrate(score, masks, overlap=overlap, residual=residual)
        cells = Cells.from_masks(masks, shape, rule=OascRule(overlap, residual))
        np.testing.assert_allclose(direct, expected, rtol=0, atol=2e-6)
        np.testing.assert_allclose(cells.calibrate(score), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("overlap", ["largest", "smallest", "inverse_variance"])
@pytest.mark.parametrize("shape", [(41, 52), (80, 101), (17, 30)])
def test_tilings_are_masks(overlap, shape):
    for seed in range(8):
        rng = np.random.default_rng([seed, 4])
        labels = label_maps(rng, int(rng.integers(1, 5)), 41, 52)
        if seed % 2:
            labels = np.abs(labels)  # everything is covered
        score = rough_score(rng, *shape)
        rule = OascRule(overlap)
        of_masks = Cells.from_masks(masks_of(labels), shape, rule=rule)
        of_tilings = Cells.from_label_maps(labels, shape, rule=rule)
        np.testing.assert_allclose(
            of_tilings.calibrate(score), of_masks.calibrate(score), rtol=0, atol=2e-6
        )
        np.testing.assert_array_equal(of_tilings.ids == 0, of_masks.ids == 0)
        assert of_tilings.n_masks == len(masks_of(labels))


def test_tilings_of_nothing_leave_the_score():
    score = rough_score(np.random.default_rng(5), 20, 30)
    cells = Cells.from_label_maps(np.full((2, 10, 15), -1), score.shape)
    np.testing.assert_array_equal(cells.calibrate(score), score)
    assert cells.n_masks == 0


def test_a_mask_in_which_the_score_disagrees_weighs_less():
    score = np.zeros((10, 40), np.float32)
    score[:, 30:] = 1
    whole, right = np.zeros((2, 10, 40), bool)
    whole[:, 20:], right[:, 30:] = True, True
    masks = np.array([whole, right])
    result = calibrate(score, masks, overlap="inverse_variance")
    assert result[0, 35] > 0.95  # its own mask agrees, the larger one does not
    assert result[0, 25] == pytest.approx(0.5)  # covered by the larger one only
    kept = calibrate(score, masks, overlap="inverse_variance", residual=0.5)
    assert kept[0, 25] < 0.3  # and so it keeps most of its own score


@pytest.mark.parametrize("overlap", ["largest", "inverse_variance"])
def test_old_masks_count_less(overlap):
    rng = np.random.default_rng(6)
    masks, score = blobs(rng, 6, 30, 40), rough_score(rng, 30, 40)
    cells = Cells.from_masks(masks, score.shape, rule=OascRule(overlap, 0.2, fade_s=0.5))
    for age_s, share in ((0.0, 0.8), (0.5, 0.4), (1.5, 0.2)):
        expected = plain_rules.calibrate(score, masks, overlap, 1 - share)
        np.testing.assert_allclose(cells.calibrate(score, age_s), expected, rtol=0, atol=2e-6)
    never = Cells.from_masks(masks, score.shape)
    np.testing.assert_array_equal(never.calibrate(score, 100.0), never.calibrate(score))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("residual", [0.0, 0.5])
@pytest.mark.parametrize("overlap", ["inverse_variance", "largest"])
def test_a_bad_pixel_takes_its_masks_mean_and_spoils_nobody(bad, residual, overlap):
    score = np.array([[1, bad, 3, 8, bad]], dtype=np.float32)
    masks = np.array([[[1, 1, 1, 0, 0]]], dtype=bool)
    result = calibrate(score, masks, overlap=overlap, residual=residual)
    assert result[0, 1] == pytest.approx(2)
    assert result[0, 3] == 8
    np.testing.assert_array_equal(result[0, 4], bad)
    assert 1 <= result[0, 0] <= 2
    assert 2 <= result[0, 2] <= 3


def test_the_old_name_is_accepted_with_a_warning(caplog):
    assert OascRule("agreement", 0.6) == OascRule("inverse_variance", 0.6)
    assert "now called 'inverse_variance'" in caplog.text


def test_a_constant_score_stays():
    masks = blobs(np.random.default_rng(7), 5, 20, 30)
    score = np.full((20, 30), 0.3, np.float32)
    np.testing.assert_allclose(
        calibrate(score, masks, overlap="inverse_variance"), score, atol=1e-7
    )


class TestRuleFor:
    class Recommending:
        recommended_rule = OascRule("inverse_variance", 0.5, 0.7)

    def test_the_paper_unless_the_generator_says_otherwise(self):
        assert rule_for(object()) == PAPER == OascRule("largest", 0.0)
        assert rule_for(self.Recommending()) == OascRule("inverse_variance", 0.5, 0.7)

    def test_what_is_named_wins(self):
        generator = self.Recommending()
        assert rule_for(generator, "largest") == PAPER
        assert rule_for(generator, "smallest", 0.2) == OascRule("smallest", 0.2)
        assert rule_for(generator, residual=0.1) == OascRule("inverse_variance", 0.1, 0.7)
        assert rule_for(generator, fade_s=3.0) == OascRule("inverse_variance", 0.5, 3.0)
        assert rule_for(object(), residual=0.1) == OascRule("largest", 0.1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("mean",), "one of largest, smallest, inverse_variance; got 'mean'"),
        (("largest", 1.5), "that a pixel keeps, 0 to 1; got 1.5"),
        (("largest", float("nan")), "got nan"),
        (("largest", 0.0, 0.0), r"fade_s must be above 0 \(.inf for never\), got 0.0"),
    ],
)
def test_wrong_rules(values, message):
    with pytest.raises(ValueError, match=message):
        OascRule(*values)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (np.zeros((1, 4, 5)), TypeError, "label maps must hold integers, got float64"),
        (np.zeros((4, 5), int), ValueError, r"shape \(T, h, w\)"),
        (np.zeros((0, 4, 5), int), ValueError, "at least one pixel"),
        (np.full((1, 4, 5), -2), ValueError, "labels must be -1, for no region, or more; got -2"),
    ],
)
def test_wrong_tilings(labels, error, message):
    with pytest.raises(error, match=message):
        Cells.from_label_maps(labels, (4, 5))
