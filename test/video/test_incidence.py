"""Means of masks by sums over their cells, by hand."""

import numpy as np
import pytest

from objectomaly_ros.video.incidence import CellIncidence

# Cells 1, 2 and 3 with 2, 1 and 4 pixels; mask 0 covers cell 2, mask 1 covers cells 1 and 2.
SIZES = np.array([5.0, 2.0, 1.0, 4.0])
SUMS = np.array([9.0, 1.0, 5.0, 8.0])


@pytest.fixture
def incidence():
    cells, ranks = np.array([2, 1, 2]), np.array([3, 7, 7])
    return CellIncidence.from_pairs(4, cells[[1, 0, 2]], ranks[[1, 0, 2]])


def test_pairs_are_sorted_by_mask_without_gaps(incidence):
    assert incidence.cells.tolist() == [2, 1, 2]
    assert incidence.masks.tolist() == [0, 1, 1]
    assert incidence.starts.tolist() == [0, 1]


def test_winning_means(incidence):
    largest = incidence.winning_means(SUMS, SIZES, smallest=False)
    smallest = incidence.winning_means(SUMS, SIZES, smallest=True)
    np.testing.assert_array_equal(largest, [np.nan, 2, 2, np.nan])
    np.testing.assert_array_equal(smallest, [np.nan, 2, 5, np.nan])


def test_a_mask_without_a_finite_pixel_wins_nothing(incidence):
    sums, sizes = SUMS * [1, 1, 0, 1], SIZES * [1, 1, 0, 1]
    means = incidence.winning_means(sums, sizes, smallest=True)
    np.testing.assert_array_equal(means, [np.nan, 0.5, 0.5, np.nan])


def test_weighted_means(incidence):
    squares = np.array([0.0, 4.0, 25.0, 16.0])  # variances: of mask 0, 0; of mask 1, 29 / 3 - 4
    total, weights, count = incidence.weighted_means(SUMS, squares, SIZES, floor=0.5)
    small, large = 1 / 0.5, 1 / (0.5 + 29 / 3 - 4)
    np.testing.assert_allclose(weights, [0, large, small + large, 0])
    np.testing.assert_allclose(total, [0, 2 * large, 5 * small + 2 * large, 0])
    np.testing.assert_array_equal(count, [0, 1, 2, 0])
