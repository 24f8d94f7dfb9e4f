"""Cells: moved ids are moved masks, label maps are masks, and old masks count less."""

import numpy as np
import plain_rules
import pytest
from scenes import blobs, rough_score, with_ties

from objectomaly_ros.arrays.label_maps import masks_of
from objectomaly_ros.oasc import OascRule
from objectomaly_ros.video.cells import Cells
from tools.benchmarks import published_loops


def label_maps(rng, count, height, width):
    """Random divisions into blobs of colour, some without a region here and there."""
    coarse = rng.integers(-1, 6, (count, -(-height // 5), -(-width // 7)))
    return np.repeat(np.repeat(coarse, 5, axis=1), 7, axis=2)[:, :height, :width]


@pytest.mark.parametrize("overlap", ["largest", "smallest"])
def test_moved_ids_are_moved_masks(overlap):
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


def test_other_frames_with_the_same_cells():
    rng = np.random.default_rng(13)
    masks = blobs(rng, 10, 50, 70)
    cells = Cells.from_masks(masks, (50, 70))
    for _ in range(5):
        score = rough_score(rng, 50, 70)
        expected = published_loops.calibrate(score, masks)
        np.testing.assert_allclose(cells.calibrate(score), expected, rtol=0, atol=1e-6)


def test_noise_masks_keep_memory_in_bounds():
    rng = np.random.default_rng(14)
    masks = rng.random((40, 60, 80)) < 0.5  # about every pixel its own cell
    score = rough_score(rng, 60, 80)
    cells = Cells.from_masks(masks, score.shape)
    expected = published_loops.calibrate(score, masks)
    np.testing.assert_allclose(cells.calibrate(score), expected, rtol=0, atol=1e-6)


def test_errors():
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


@pytest.mark.parametrize("overlap", ["largest", "smallest", "inverse_variance"])
@pytest.mark.parametrize("shape", [(41, 52), (80, 101), (17, 30)])
def test_label_maps_are_masks(overlap, shape):
    for seed in range(8):
        rng = np.random.default_rng([seed, 4])
        labels = label_maps(rng, int(rng.integers(1, 5)), 41, 52)
        if seed % 2:
            labels = np.abs(labels)  # everything is covered
        score = rough_score(rng, *shape)
        rule = OascRule(overlap)
        of_masks = Cells.from_masks(masks_of(labels), shape, rule=rule)
        of_label_maps = Cells.from_label_maps(labels, shape, rule=rule)
        np.testing.assert_allclose(
            of_label_maps.calibrate(score), of_masks.calibrate(score), rtol=0, atol=2e-6
        )
        np.testing.assert_array_equal(of_label_maps.ids == 0, of_masks.ids == 0)
        assert of_label_maps.n_masks == len(masks_of(labels))


def test_label_maps_without_a_region_leave_the_score():
    score = rough_score(np.random.default_rng(5), 20, 30)
    cells = Cells.from_label_maps(np.full((2, 10, 15), -1), score.shape)
    np.testing.assert_array_equal(cells.calibrate(score), score)
    assert cells.n_masks == 0


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
