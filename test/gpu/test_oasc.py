"""OASC and MBP on tensors against the goldens and the tested paths on the CPU."""

import numpy as np
import pytest
import torch
from scenes import blobs, golden, rough_score, with_ties

from objectomaly_ros import mbp, oasc
from objectomaly_ros.gpu import mbp as gpu_mbp
from objectomaly_ros.gpu import oasc as gpu_oasc
from tools.benchmarks.published_loops import calibrate as published_calibrate

GOLDENS = (
    "c1_small", "c2_zero_masks", "c3_nested_ties", "c4_other_resolution", "c5_empty_after_resize",
    "c6_constant", "c7_hd",
)  # fmt: skip


def on_tensors(score, masks, **options):
    if options.get("areas") is not None:
        options["areas"] = torch.from_numpy(np.asarray(options["areas"]))
    return gpu_oasc.calibrate(torch.from_numpy(score), torch.from_numpy(masks), **options)


@pytest.mark.parametrize("name", GOLDENS)
def test_goldens(shared_dir, name):
    expected = golden(shared_dir / "golden" / "objectomaly" / f"{name}.npz")
    calibrated = on_tensors(expected["coarse"], expected["masks"], areas=expected["areas"])
    np.testing.assert_allclose(calibrated, expected["oasc"], atol=1e-6)
    # MBP looks for exact plateaus, so it is given the golden's own map.
    stepped = gpu_mbp.laplacian_step(torch.from_numpy(expected["oasc"]))
    np.testing.assert_allclose(stepped, expected["after_laplacian"], atol=1e-6)
    final = gpu_mbp.refine_boundary(torch.from_numpy(expected["oasc"]))
    np.testing.assert_allclose(final, expected["final"], atol=1e-6)
    through = gpu_mbp.refine_boundary(calibrated)
    np.testing.assert_allclose(through, expected["final"], atol=1e-6)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("overlap", ["largest", "smallest"])
def test_random_scenes_equal_the_cpu_path(seed, overlap, monkeypatch):
    random = np.random.default_rng(seed)
    height, width = (int(x) for x in random.integers(1, 60, 2))
    monkeypatch.setattr(gpu_oasc, "_CHUNK_PIXELS", 5 * height * width)  # several chunks
    masks = with_ties(random, blobs(random, int(random.integers(0, 20)), height, width))
    score = rough_score(random, height, width)
    ours = on_tensors(score, masks, overlap=overlap)
    np.testing.assert_allclose(ours, oasc.calibrate(score, masks, overlap=overlap), atol=1e-6)
    published = published_calibrate(score, [mask for mask in masks if mask.any()], None, overlap)
    np.testing.assert_allclose(ours, published, atol=1e-6)
    assert torch.equal(ours, on_tensors(score, masks, overlap=overlap)), "not the same twice"


@pytest.mark.parametrize("seed", range(6))
def test_other_resolutions_and_bad_pixels(seed):
    random = np.random.default_rng(seed)
    masks = blobs(random, 9, 37, 51)
    score = rough_score(random, 23, 70)
    score[random.random(score.shape) < 0.02] = np.nan
    score[random.random(score.shape) < 0.02] = np.inf
    score[:4, :4] = -np.inf
    masks[0] = False
    masks[0, :5, :2] = True  # nothing finite under it
    expected = oasc.calibrate(score, masks)
    np.testing.assert_allclose(on_tensors(score, masks), expected, atol=1e-6)
    assert np.isfinite(expected).any()


def test_masks_without_a_pixel_change_nothing():
    score = rough_score(np.random.default_rng(0), 4, 9)
    np.testing.assert_array_equal(on_tensors(score, np.zeros((3, 4, 9), bool)), score)


def test_given_areas_decide_the_order():
    masks = np.zeros((2, 4, 9), bool)
    masks[0, :, :6] = True
    masks[1, :, 3:5] = True
    score = rough_score(np.random.default_rng(0), 4, 9)
    plain, turned = on_tensors(score, masks), on_tensors(score, masks, areas=[1, 2])
    assert plain[0, 4] == plain[0, 0]
    assert turned[0, 4] != turned[0, 0]
    np.testing.assert_allclose(turned, oasc.calibrate(score, masks, areas=[1, 2]), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (3, 3), (5, 2), (8, 7), (40, 61)])
def test_boundary_step_equals_the_cpu_path(shape):
    random = np.random.default_rng(shape[1])
    score = oasc.calibrate(rough_score(random, *shape), blobs(random, 5, *shape))
    ours = gpu_mbp.refine_boundary(torch.from_numpy(score))
    np.testing.assert_allclose(ours, mbp.refine_boundary(score), atol=1e-6)


@pytest.mark.parametrize("overlap", ["largest", "smallest"])
def test_a_share_of_the_own_score_is_kept(overlap):
    random = np.random.default_rng(4)
    masks, score = blobs(random, 9, 37, 51), rough_score(random, 37, 51)
    score[random.random(score.shape) < 0.02] = np.nan
    ours = on_tensors(score, masks, overlap=overlap, residual=0.3)
    expected = oasc.calibrate(score, masks, overlap=overlap, residual=0.3)
    np.testing.assert_allclose(ours, expected, atol=1e-6)


@pytest.mark.parametrize("power", [-140, -60, 0, 60, 120])
def test_scores_of_any_range(power):
    random = np.random.default_rng(5)
    masks = blobs(random, 9, 37, 51)
    score = np.ldexp(rough_score(random, 37, 51) - 0.5, power).astype(np.float32)
    ours = on_tensors(score, masks).numpy()
    expected = oasc.calibrate(score, masks)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=max(1e-6 * 2.0**power, 2.0**-148))


@pytest.mark.parametrize(
    ("score", "masks", "message"),
    [
        (torch.zeros(4, 9, dtype=torch.float64), torch.zeros(2, 4, 9, dtype=torch.bool), "float64"),
        (torch.zeros(4, 9), torch.zeros(2, 4, 9, dtype=torch.uint8), "bool masks, got.*uint8"),
    ],
)
def test_other_types_are_refused(score, masks, message):
    with pytest.raises(TypeError, match=message):
        gpu_oasc.calibrate(score, masks)
