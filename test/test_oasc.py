"""OASC equals the published loops, their goldens and plain rules, by crops and by cells."""

import cv2
import numpy as np
import plain_rules
import pytest
from scenes import blobs, golden, rough_score, with_ties

from objectomaly_ros.oasc import PAPER, OascRule, calibrate, rule_for
from objectomaly_ros.video.cells import Cells
from tools.benchmarks import published_loops

CASES = [
    "c1_small",
    "c2_zero_masks",
    "c3_nested_ties",
    "c4_other_resolution",
    "c5_empty_after_resize",
    "c6_constant",
    "c7_hd",
]
RULES = [
    ("inverse_variance", 0.0),
    ("inverse_variance", 0.5),
    ("inverse_variance", 1.0),
    ("largest", 0.3),
    ("smallest", 0.7),
]
SHAPES = [(1, 1), (1, 17), (23, 1), (2, 2), (3, 3), (16, 16), (31, 47), (48, 64), (65, 33)]


@pytest.mark.parametrize("case", CASES)
def test_equals_the_golden(shared_dir, case):
    data = golden(shared_dir / "golden" / "objectomaly" / f"{case}.npz")
    coarse, masks = data["coarse"], data["masks"]
    cells = Cells.from_masks(masks, coarse.shape)
    for result in (
        calibrate(coarse, masks),
        calibrate(coarse, masks, areas=data["areas"]),
        cells.calibrate(coarse),
    ):
        assert result.dtype == np.float32
        assert result.shape == coarse.shape
        np.testing.assert_allclose(result, data["oasc"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("overlap", ["largest", "smallest"])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_published_loops(shape, overlap):
    for seed in range(12):
        rng = np.random.default_rng([seed, *shape])
        masks = with_ties(rng, blobs(rng, int(rng.integers(0, 14)), *shape))
        score = rough_score(rng, *shape)
        expected = published_loops.calibrate(score, masks, overlap=overlap)
        direct = calibrate(score, masks, overlap=overlap)
        by_cells = Cells.from_masks(masks, shape, rule=OascRule(overlap)).calibrate(score)
        np.testing.assert_allclose(direct, expected, rtol=0, atol=1e-6)
        np.testing.assert_allclose(by_cells, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("mask_shape", "shape"),
    [
        ((60, 80), (60, 33)),
        ((60, 80), (17, 80)),
        ((60, 80), (121, 163)),
        ((50, 70), (9, 11)),
        ((7, 5), (64, 48)),
        ((1, 90), (40, 30)),
        ((41, 1), (20, 20)),
        ((3, 3), (1, 1)),
    ],
)
def test_equals_the_published_loops_at_other_resolutions(mask_shape, shape):
    for seed in range(12):
        rng = np.random.default_rng([seed, *mask_shape, *shape])
        masks = with_ties(rng, blobs(rng, 9, *mask_shape))
        score = rough_score(rng, *shape)
        expected = published_loops.calibrate(score, masks)
        np.testing.assert_allclose(calibrate(score, masks), expected, rtol=0, atol=1e-6)
        by_cells = Cells.from_masks(masks, shape).calibrate(score)
        np.testing.assert_allclose(by_cells, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 128, 300])
@pytest.mark.parametrize("overlap", ["largest", "smallest"])
def test_any_number_of_masks(count, overlap):
    rng = np.random.default_rng(count)
    masks = with_ties(rng, blobs(rng, count, 37, 53))
    score = rough_score(rng, 37, 53)
    expected = published_loops.calibrate(score, masks, overlap=overlap)
    np.testing.assert_allclose(
        calibrate(score, masks, overlap=overlap), expected, rtol=0, atol=1e-6
    )
    cells = Cells.from_masks(masks, score.shape, rule=OascRule(overlap))
    np.testing.assert_allclose(cells.calibrate(score), expected, rtol=0, atol=1e-6)


def test_hidden_parts_count_in_the_mean():
    score = np.array([[0.0, 0.0, 1.0, 1.0, 1.0]], dtype=np.float32)
    masks = np.array([[[1, 1, 1, 0, 0]], [[0, 1, 1, 1, 1]]], dtype=bool)
    expected = [[1 / 3, 0.75, 0.75, 0.75, 0.75]]
    np.testing.assert_allclose(calibrate(score, masks), expected, atol=1e-7)
    expected = [[1 / 3, 1 / 3, 1 / 3, 0.75, 0.75]]
    np.testing.assert_allclose(calibrate(score, masks, overlap="smallest"), expected, atol=1e-7)


@pytest.mark.parametrize("shape", [(40, 50), (31, 77)])
def test_given_boxes_change_nothing(shape):
    rng = np.random.default_rng(5)
    masks = np.zeros((12, 40, 50), np.uint8)
    for mask in masks[:-1]:  # the last one stays empty
        x, y = (int(v) for v in rng.integers(0, 40, 2))
        cv2.circle(mask, (x, y), int(rng.integers(1, 20)), 1, -1)
    boxes = [cv2.boundingRect(mask) for mask in masks]
    masks = masks.astype(bool)
    score = rng.random(shape).astype(np.float32)
    expected = calibrate(score, masks)
    np.testing.assert_array_equal(calibrate(score, masks, boxes=boxes), expected)
    cells = Cells.from_masks(masks, shape, boxes=boxes)
    np.testing.assert_allclose(cells.calibrate(score), expected, rtol=0, atol=1e-6)


def test_boxes_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"boxes must have shape \(2, 4\)"):
        calibrate(np.zeros((4, 4), np.float32), np.ones((2, 4, 4), bool), boxes=[[0, 0, 4, 4]])


def test_given_areas_rank_the_masks():
    rng = np.random.default_rng(5)
    masks = blobs(rng, 8, 40, 50)
    score = rough_score(rng, 40, 50)
    areas = rng.permutation(8)
    expected = published_loops.calibrate(score, masks, areas=areas)
    np.testing.assert_allclose(calibrate(score, masks, areas=areas), expected, rtol=0, atol=1e-6)
    cells = Cells.from_masks(masks, (40, 50), areas=areas)
    np.testing.assert_allclose(cells.calibrate(score), expected, rtol=0, atol=1e-6)


def test_arguments_stay_as_they_are():
    rng = np.random.default_rng(6)
    masks, score = blobs(rng, 5, 30, 40), rough_score(rng, 30, 40)
    kept_masks, kept_score = masks.copy(), score.copy()
    nothing = calibrate(score, masks[:0])
    assert nothing is not score
    assert not np.shares_memory(nothing, score)
    calibrate(score, masks)
    cells = Cells.from_masks(masks, score.shape)
    cells.calibrate(score)
    assert not np.shares_memory(Cells.from_masks(masks[:0], score.shape).calibrate(score), score)
    np.testing.assert_array_equal(masks, kept_masks)
    np.testing.assert_array_equal(score, kept_score)


def test_views_and_other_float_types():
    rng = np.random.default_rng(7)
    masks, score = blobs(rng, 6, 40, 60), rough_score(rng, 40, 60)
    expected = calibrate(score[::2, ::3].copy(), masks[:, ::2, ::3].copy())
    np.testing.assert_array_equal(calibrate(score[::2, ::3], masks[:, ::2, ::3]), expected)
    half = score.astype(np.float16)
    np.testing.assert_array_equal(calibrate(half, masks), calibrate(half.astype(np.float32), masks))


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


@pytest.mark.parametrize("by_cells", [False, True])
class TestNonFiniteScores:
    def run(self, score, masks, by_cells, **options):
        if by_cells:
            return Cells.from_masks(masks, score.shape, rule=OascRule(**options)).calibrate(score)
        return calibrate(score, masks, **options)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_a_bad_pixel_spoils_no_mask(self, bad, by_cells):
        score = np.array([[1, bad, 3, 8, bad]], dtype=np.float32)
        masks = np.array([[[1, 1, 1, 0, 0]]], dtype=bool)
        np.testing.assert_array_equal(self.run(score, masks, by_cells), [[2, 2, 2, 8, bad]])

    def test_a_mask_without_a_finite_pixel_is_skipped(self, by_cells):
        score = np.array([[np.nan, np.inf, 3, 5]], dtype=np.float32)
        small, large = [[0, 1, 1, 0]], [[1, 1, 0, 0]]
        masks = np.array([small, large], dtype=bool)
        result = self.run(score, masks, by_cells)
        np.testing.assert_array_equal(result, [[np.nan, 3, 3, 5]])

    @pytest.mark.parametrize("overlap", ["largest", "smallest"])
    def test_equals_the_loops_over_the_finite_pixels(self, by_cells, overlap):
        for seed in range(10):
            rng = np.random.default_rng([seed, 21])
            masks = blobs(rng, 9, 30, 41)
            score = rough_score(rng, 30, 41)
            holes = rng.random(score.shape) < 0.05
            score[holes] = rng.choice([np.nan, np.inf, -np.inf], int(holes.sum()))
            expected = score.copy()
            order = np.argsort(masks.sum(axis=(1, 2)), kind="stable")
            for index in order if overlap == "largest" else order[::-1]:
                seen = masks[index] & ~holes
                if seen.any():
                    expected[masks[index]] = score[seen].mean(dtype=np.float64)
            result = self.run(score, masks, by_cells, overlap=overlap)
            np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)


class TestErrors:
    score = np.zeros((4, 5), np.float32)
    masks = np.zeros((2, 4, 5), dtype=bool)

    @pytest.mark.parametrize(
        ("score", "error", "message"),
        [
            (np.zeros((4, 5), np.uint8), TypeError, r"got uint8; convert it with score.astype"),
            (np.zeros((4, 5), complex), TypeError, "complex128"),
            (np.zeros((1, 4, 5), np.float32), ValueError, r"shape \(H, W\), got \(1, 4, 5\)"),
            (np.zeros((0, 5), np.float32), ValueError, "at least one pixel"),
        ],
    )
    def test_score(self, score, error, message):
        with pytest.raises(error, match=message):
            calibrate(score, self.masks)

    @pytest.mark.parametrize(
        ("masks", "error", "message"),
        [
            (np.zeros((2, 4, 5), np.uint8), TypeError, "must be bool, got uint8; .*masks > 0"),
            (np.zeros((4, 5), dtype=bool), ValueError, r"give a single mask as masks\[None\]"),
            (np.zeros((2, 0, 5), dtype=bool), ValueError, "at least one pixel each"),
        ],
    )
    def test_masks(self, masks, error, message):
        with pytest.raises(error, match=message):
            calibrate(self.score, masks)
        with pytest.raises(error, match=message):
            Cells.from_masks(masks, (4, 5))

    def test_overlap(self):
        with pytest.raises(
            ValueError, match="one of largest, smallest, inverse_variance; got 'paper'"
        ):
            calibrate(self.score, self.masks, overlap="paper")

    def test_areas(self):
        with pytest.raises(ValueError, match=r"shape \(2,\), one a mask, got \(3,\)"):
            calibrate(self.score, self.masks, areas=[1, 2, 3])
