"""OASC equals the published loops and their goldens, by crops and by cells."""

import cv2
import numpy as np
import pytest
from scenes import blobs, golden, rough_score, with_ties

from objectomaly_ros.oasc import OascRule, calibrate
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


class TestCells:
    def test_a_cell_is_a_distinct_set_of_masks(self):
        rng = np.random.default_rng(11)
        masks = blobs(rng, 70, 40, 50)
        masks[:, :3, :3] = False  # something uncovered
        ids = Cells.from_masks(masks, (40, 50)).ids
        assert ids.dtype == np.int32
        np.testing.assert_array_equal(ids == 0, ~masks.any(axis=0))
        sets = np.packbits(masks, axis=0).reshape(-1, ids.size).T
        distinct = np.unique(sets, axis=0)
        pairs = np.unique(np.column_stack([ids.ravel(), sets]), axis=0)
        assert len(pairs) == len(distinct) == len(np.unique(ids))

    def test_zero_stays_free_where_all_is_covered(self):
        masks = np.ones((1, 4, 5), dtype=bool)
        assert (Cells.from_masks(masks, (4, 5)).ids > 0).all()

    @pytest.mark.parametrize("overlap", ["largest", "smallest"])
    def test_moved_ids_are_moved_masks(self, overlap):
        for seed in range(20):
            rng = np.random.default_rng([seed, 12])
            masks = with_ties(rng, blobs(rng, 12, 45, 60))
            areas = masks.sum(axis=(1, 2))
            dx, dy = rng.integers(-20, 20, 2)
            moved = np.zeros_like(masks)
            source_y = np.arange(45) - dy
            source_x = np.arange(60) - dx
            y, x = np.ix_((source_y >= 0) & (source_y < 45), (source_x >= 0) & (source_x < 60))
            moved[:, y, x] = masks[:, y - dy, x - dx]
            cells = Cells.from_masks(masks, (45, 60), rule=OascRule(overlap))
            ids = np.zeros_like(cells.ids)
            ids[y, x] = cells.ids[y - dy, x - dx]
            score = rough_score(rng, 45, 60)
            expected = published_loops.calibrate(score, moved, areas=areas, overlap=overlap)
            result = cells.with_ids(ids).calibrate(score)
            np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)

    def test_other_frames_with_the_same_cells(self):
        rng = np.random.default_rng(13)
        masks = blobs(rng, 10, 50, 70)
        cells = Cells.from_masks(masks, (50, 70))
        for _ in range(5):
            score = rough_score(rng, 50, 70)
            expected = published_loops.calibrate(score, masks)
            np.testing.assert_allclose(cells.calibrate(score), expected, rtol=0, atol=1e-6)

    def test_noise_masks_keep_memory_in_bounds(self):
        rng = np.random.default_rng(14)
        masks = rng.random((40, 60, 80)) < 0.5  # about every pixel its own cell
        score = rough_score(rng, 60, 80)
        cells = Cells.from_masks(masks, score.shape)
        expected = published_loops.calibrate(score, masks)
        np.testing.assert_allclose(cells.calibrate(score), expected, rtol=0, atol=1e-6)

    def test_errors(self):
        cells = Cells.from_masks(np.ones((1, 4, 5), dtype=bool), (4, 5))
        with pytest.raises(ValueError, match=r"score has shape \(5, 4\), the cells \(4, 5\)"):
            cells.calibrate(np.zeros((5, 4), np.float32))
        with pytest.raises(ValueError, match="must keep the shape"):
            cells.with_ids(np.zeros((5, 4), np.int32))
        with pytest.raises(ValueError, match=r"in 0\.\.1, found 0\.\.2"):
            cells.with_ids(np.array([[0] * 5] * 3 + [[2] * 5]))
        with pytest.raises(ValueError, match="found -1"):
            cells.with_ids(np.full((4, 5), -1))
        with pytest.raises(TypeError, match="float64: warp them by nearest"):
            cells.with_ids(np.zeros((4, 5)))
        with pytest.raises(ValueError, match="at least one pixel"):
            Cells.from_masks(np.ones((1, 4, 5), dtype=bool), (0, 5))


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


def test_resizing_is_that_of_opencv():
    rng = np.random.default_rng(31)
    mask = rng.random((1, 73, 91)) < 0.5
    score = np.zeros((40, 133), np.float32)
    ids = Cells.from_masks(mask, score.shape).ids
    expected = cv2.resize(mask[0].astype(np.uint8), (133, 40), interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(ids > 0, expected > 0)
