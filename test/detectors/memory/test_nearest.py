"""Nearest neighbours within bands of rows, against a plain loop; coresets."""

import numpy as np
import pytest

from objectomaly_ros.detectors.memory.coreset import Coreset, shown_often
from objectomaly_ros.detectors.memory.nearest import (
    BAND,
    FARTHEST,
    PatchIndex,
    heights_of,
    products,
    thinned,
)


def unit(*shape, seed=0):
    vectors = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def loop(grid, vectors, heights):
    found = np.full(grid.shape[:2], FARTHEST)
    for row, height in enumerate(heights_of(len(grid))):
        band = vectors[np.abs(heights - height) <= np.float32(BAND)]
        for column, patch in enumerate(grid[row]):
            if len(band):
                found[row, column] = np.sqrt(2 - 2 * (band @ patch).max())
    return found


@pytest.mark.parametrize("number", [0, 1, 47, 48, 1000])
def test_products_in_pieces_are_the_products(number):
    many, few = unit(number, 152), unit(36, 152, seed=1)
    np.testing.assert_allclose(products(many, few), many @ few.T, atol=1e-5)


@pytest.mark.parametrize("number", [1, 2, 60])
def test_distances_are_those_of_a_loop(number):
    vectors = unit(number, 9)
    heights = np.random.default_rng(1).random(number).astype(np.float32)
    grid = unit(7, 5, 9, seed=2)
    index = PatchIndex(vectors, heights)
    expected = loop(grid, vectors, heights)
    np.testing.assert_allclose(index.distances(grid), expected, atol=1e-5)


def test_the_way_back_finds_the_nearest_patch_of_the_grid():
    index = PatchIndex(unit(40, 9), np.random.default_rng(1).random(40).astype(np.float32))
    grid = unit(7, 5, 9, seed=2)
    rows = heights_of(7)
    for vector, height, found in zip(
        index.vectors, index.heights, index.distances_to(grid), strict=True
    ):
        near = grid[np.abs(rows - height) <= BAND].reshape(-1, 9)
        expected = np.sqrt(2 - 2 * (near @ vector).max()) if len(near) else FARTHEST
        assert found == pytest.approx(expected, abs=1e-5)


def test_thinned_patches_are_apart_and_stand_for_all():
    vectors, heights = unit(300, 3), np.full(300, 0.5, np.float32)
    chosen, _ = thinned(vectors, heights, 0.4)
    apart = np.linalg.norm(chosen[:, None] - chosen[None], axis=2) + 2 * np.eye(len(chosen))
    assert apart.min() >= 0.4 - 1e-5
    assert np.linalg.norm(vectors[:, None] - chosen[None], axis=2).min(axis=1).max() < 0.4


def test_a_coreset_keeps_its_size_and_stands_for_all():
    grids = [unit(4, 10, 3, seed=seed) for seed in range(20)]
    coreset = Coreset(60)
    for grid in grids:
        coreset.add(grid)
    assert 20 <= len(coreset.index) <= 60
    assert max(coreset.index.distances(grid).max() for grid in grids) < 0.9


def test_what_few_images_show_is_dropped():
    usual, odd = unit(2, 4)
    index = PatchIndex(np.stack([usual, odd]), np.array([0.5, 0.5], np.float32))
    grids = [np.tile(usual, (3, 3, 1))] * 38 + [np.tile(odd, (3, 3, 1))] * 2
    kept = shown_often(index, grids, reach=0.1)
    np.testing.assert_array_equal(kept.vectors, usual[None])
    assert len(shown_often(index, grids[20:], reach=0.1)) == 2
