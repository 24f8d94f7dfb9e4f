"""Runs of a map of ids: sums, maps and intersections equal those pixel by pixel."""

import numpy as np
import pytest

from objectomaly_ros.video.run_length import RunLengths


@pytest.fixture(params=[(1, 1), (1, 9), (7, 1), (31, 40)])
def maps(request):
    """Two maps of ids 0..4 with runs of several pixels."""
    rng = np.random.default_rng(2)
    coarse = rng.integers(0, 5, (2, request.param[0], -(-request.param[1] // 3)))
    return np.repeat(coarse, 3, axis=2)[:, :, : request.param[1]].astype(np.int32)


def test_sums_and_sizes(maps):
    values = np.random.default_rng(3).random(maps[0].shape, np.float32)
    runs = RunLengths(maps[0], 6)
    np.testing.assert_array_equal(runs.sizes, [(maps[0] == i).sum() for i in range(6)])
    expected = [values[maps[0] == i].sum(dtype=np.float64) for i in range(6)]
    np.testing.assert_allclose(runs.sums(values), expected, rtol=1e-6)


def test_to_pixels(maps):
    values = np.random.default_rng(3).random(6, np.float32)
    np.testing.assert_array_equal(RunLengths(maps[0], 6).to_pixels(values), values[maps[0]])


def test_intersect(maps):
    (here, there), lengths = RunLengths(maps[0], 5).intersect([RunLengths(maps[1], 5)])
    np.testing.assert_array_equal(np.repeat(here, lengths), maps[0].ravel())
    np.testing.assert_array_equal(np.repeat(there, lengths), maps[1].ravel())


def test_a_run_is_as_long_as_it_can_be():
    runs = RunLengths(np.array([[1, 1, 0], [0, 0, 2]], np.int32), 3)
    assert runs.ids.tolist() == [1, 0, 0, 2]
    assert runs.lengths.tolist() == [2, 1, 2, 1]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_pixel_shows_in_the_sum_of_its_id_alone(bad):
    runs = RunLengths(np.array([[0, 0, 1]], np.int32), 2)
    np.testing.assert_array_equal(runs.sums(np.float32([[bad, 1, 2]])), [bad, 2])
