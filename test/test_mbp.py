"""MBP equals the published loops and their goldens."""

import numpy as np
import pytest
from scenes import blobs, golden, rough_score

from objectomaly_ros.mbp import laplacian_step, refine_boundary
from objectomaly_ros.oasc import calibrate
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
SHAPES = [(1, 1), (1, 9), (9, 1), (2, 2), (2, 7), (3, 3), (4, 3), (8, 8), (17, 31), (40, 40)]


@pytest.mark.parametrize("case", CASES)
class TestGolden:
    @pytest.fixture
    def data(self, shared_dir, case):
        return golden(shared_dir / "golden" / "objectomaly" / f"{case}.npz")

    def test_stage_by_stage(self, data):
        np.testing.assert_allclose(
            laplacian_step(data["oasc"]), data["after_laplacian"], rtol=0, atol=1e-6
        )
        np.testing.assert_allclose(refine_boundary(data["oasc"]), data["final"], rtol=0, atol=1e-6)

    def test_end_to_end(self, data):
        coarse, masks = data["coarse"], data["masks"]
        for calibrated in (
            calibrate(coarse, masks),
            Cells.from_masks(masks, coarse.shape).calibrate(coarse),
        ):
            np.testing.assert_allclose(
                laplacian_step(calibrated), data["after_laplacian"], rtol=0, atol=1e-6
            )
            np.testing.assert_allclose(
                refine_boundary(calibrated), data["final"], rtol=0, atol=1e-6
            )


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_published_loops(shape):
    replaced = 0
    for seed in range(15):
        rng = np.random.default_rng([seed, *shape])
        score = calibrate(rough_score(rng, *shape), blobs(rng, int(rng.integers(0, 6)), *shape))
        expected = published_loops.laplacian_step(score)
        replaced += int((expected != score).sum())
        np.testing.assert_allclose(laplacian_step(score), expected, rtol=0, atol=1e-6)
        np.testing.assert_allclose(
            refine_boundary(score), published_loops.refine_boundary(score), rtol=0, atol=1e-6
        )
    assert replaced > 0 or min(shape) < 4


def test_a_rising_pixel_takes_the_mean_of_its_flat_neighbours():
    ramp = np.array([0, 1, 2, 3, 5, 7, 9], dtype=np.float32)  # bends up at 3, straight beside it
    score = np.tile(ramp, (6, 1))
    stepped = laplacian_step(score)
    expected = score.copy()
    expected[1:-1, 3] = (2 + 5) / 2
    np.testing.assert_array_equal(stepped, expected)


def test_a_noisy_map_without_plateaus_stays():
    score = np.random.default_rng(3).normal(size=(30, 40)).astype(np.float32)
    np.testing.assert_array_equal(laplacian_step(score), score)


def test_argument_stays_as_it_is():
    rng = np.random.default_rng(4)
    score = calibrate(rough_score(rng, 30, 40), blobs(rng, 5, 30, 40))
    kept = score.copy()
    assert not np.shares_memory(laplacian_step(score), score)
    assert not np.shares_memory(refine_boundary(score), score)
    np.testing.assert_array_equal(score, kept)


def test_views_and_other_float_types():
    score = rough_score(np.random.default_rng(5), 40, 60)
    expected = refine_boundary(score[::2, ::3].copy())
    np.testing.assert_array_equal(refine_boundary(score[::2, ::3]), expected)
    half = score.astype(np.float16)
    np.testing.assert_array_equal(refine_boundary(half), refine_boundary(half.astype(np.float32)))
    assert refine_boundary(half).dtype == np.float32


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_pixel_stays_local(bad):
    rng = np.random.default_rng(6)
    score = calibrate(rough_score(rng, 40, 50), blobs(rng, 6, 40, 50))
    spoiled = score.copy()
    spoiled[20, 25] = bad
    near = np.zeros(score.shape, dtype=bool)
    near[20 - 2 : 20 + 3, 25 - 2 : 25 + 3] = True
    np.testing.assert_array_equal(laplacian_step(spoiled)[~near], laplacian_step(score)[~near])
    near[20 - 5 : 20 + 6, 25 - 5 : 25 + 6] = True
    np.testing.assert_allclose(
        refine_boundary(spoiled)[~near], refine_boundary(score)[~near], rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("function", [laplacian_step, refine_boundary])
@pytest.mark.parametrize(
    ("score", "error"),
    [
        (np.zeros((4, 5), np.int32), TypeError),
        (np.zeros((4, 5, 1), np.float32), ValueError),
        (np.zeros((4, 0), np.float32), ValueError),
    ],
)
def test_errors(function, score, error):
    with pytest.raises(error, match="score map"):
        function(score)
