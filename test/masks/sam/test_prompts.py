"""Guided prompting: dense where the score points, sparse elsewhere, the same every time."""

import numpy as np
import pytest

from objectomaly_ros.masks.sam.loading import mask_generator
from objectomaly_ros.masks.sam.prompts import GuidedPoints

OPTIONS = ("prompting", "prompts", "sparse_per_side")


def spot(height=180, width=240, row=40, column=200, level=1.0):
    """A low, noisy score with one bright, even square of 24 pixels."""
    score = np.random.default_rng(5).integers(0, 50, (height, width)).astype(np.float32) / 512
    score[row - 12 : row + 12, column - 12 : column + 12] = level
    return score


def inside(points, shape, row, column, radius):
    """Which points lie within `radius` pixels of a place."""
    places = points * (shape[1], shape[0])
    return (np.abs(places - (column, row)) <= radius).all(1)


def test_every_dense_place_of_an_obstacle_is_asked():
    score = spot()
    points = GuidedPoints(points=80, sparse_per_side=4)(score)
    everywhere = GuidedPoints()(None)
    wanted = everywhere[inside(everywhere, score.shape, 40, 200, 11)]
    assert len(wanted) >= 6
    assert {tuple(p) for p in wanted} <= {tuple(p) for p in points}


def test_the_number_of_points_and_the_sparse_grid():
    points = GuidedPoints(points=100, sparse_per_side=8)(spot())
    assert points.shape == (100, 2)
    assert points.dtype == np.float32
    assert points.min() > 0
    assert points.max() < 1
    x, y = np.meshgrid((np.arange(8) + 0.5) / 8, (np.arange(8) + 0.5) / 8)
    np.testing.assert_allclose(points[-64:], np.stack([x.ravel(), y.ravel()], 1), atol=1e-6)
    assert len(np.unique(points[:36], axis=0)) == 36


def test_uncertain_places_come_before_even_ones():
    """Of equal means, the cell with the larger range wins."""
    score = np.full((64, 64), 0.5, np.float32)
    score[10, 10], score[10, 11] = 0.75, 0.25
    point = GuidedPoints(points=1, sparse_per_side=0)(score)
    np.testing.assert_allclose(point, [[(5 + 0.5) / 32, (5 + 0.5) / 32]], atol=1e-6)


def test_the_scores_range_does_not_matter_and_the_choice_repeats():
    score = spot()
    guided = GuidedPoints()
    first = guided(score)
    np.testing.assert_array_equal(first, guided(score))
    np.testing.assert_array_equal(first, guided(8 * score - 16))


def test_pixels_without_a_number_attract_nothing():
    score = spot()
    broken = score.copy()
    broken[150:170, 20:40] = np.nan
    broken[150:160, 20:30] = np.inf
    few = GuidedPoints(points=6, sparse_per_side=0)
    np.testing.assert_array_equal(few(broken), few(score))
    assert len(few(np.full((8, 8), np.nan, np.float32))) == 6


@pytest.mark.parametrize("shape", [(1, 1), (5, 40), (31, 33), (720, 1280)])
def test_any_resolution_of_the_score(shape):
    score = np.random.default_rng(3).random(shape).astype(np.float32)
    points = GuidedPoints()(score)
    assert points.shape == (256, 2)
    assert np.isfinite(points).all()


def test_without_a_score_the_full_grid():
    assert GuidedPoints()(None).shape == (1024, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dense", 256, 8), "prompting must be 'grid' or 'guided', got 'dense'"),
        (("guided", 63, 8), "hold the sparse grid, 8 x 8 = 64; got 63"),
        (("guided", 0, 0), "points must be at least 1"),
        (("guided", 256, -1), "sparse_per_side must be at least 0"),
    ],
)
def test_wrong_options(arguments, message):
    with pytest.raises(ValueError, match=message):
        mask_generator(None, **dict(zip(OPTIONS, arguments, strict=True)))


def test_a_sam_asks_only_the_guided_points(monkeypatch):
    """The score reaches the network's prompts through `load_mask_generator`'s options."""
    sam = pytest.importorskip("segment_anything").modeling
    network = sam.Sam(
        sam.ImageEncoderViT(img_size=64, embed_dim=8, depth=1, num_heads=2, out_chans=32),
        sam.PromptEncoder(32, (4, 4), (64, 64), 4),
        sam.MaskDecoder(
            transformer_dim=32,
            transformer=sam.TwoWayTransformer(2, 32, 2, 16),
            iou_head_hidden_dim=16,
        ),
    )
    score = spot(48, 64, 20, 40)
    generator = mask_generator(
        network, prompting="guided", prompts=20, sparse_per_side=2,
        pred_iou_thresh=0, stability_score_thresh=0, box_nms_thresh=1,
    )  # fmt: skip
    result = generator.segment(np.zeros((48, 64, 3), np.uint8), score)
    expected = GuidedPoints(20, 2)(score) * np.array([64.0, 48.0])
    asked = {tuple(np.round(p, 3)) for p in result.points.numpy()}
    assert asked <= {tuple(np.round(p, 3)) for p in expected}
    assert len(asked) >= 15
