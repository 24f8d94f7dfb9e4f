"""Regions follow the image, at bounded size, and clean a noisy score."""

import sys
import types

import numpy as np
import pytest

from objectomaly_ros.masks import load_mask_generator
from objectomaly_ros.masks.regions import RegionMasks
from objectomaly_ros.masks.superpixels import FrameSuperpixels
from objectomaly_ros.mbp import refine_boundary
from objectomaly_ros.oasc import OascRule, calibrate
from objectomaly_ros.pipeline import Objectomaly

ONE_SCALE = {"scales": (15,), "superpixel_levels": 0}


def scene(height=90, width=120):
    """Return an image of a flat background with a bright box, and where the box is."""
    rng = np.random.default_rng(1)
    image = np.full((height, width, 3), (90, 100, 110), dtype=np.float32)
    box = np.zeros((height, width), dtype=bool)
    box[height // 3 : height // 2, width // 4 : width // 2] = True
    image[box] = (220, 60, 40)
    return np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8), box


@pytest.mark.parametrize("options", [ONE_SCALE, {"scales": (), "superpixel_levels": 1}])
def test_one_scale_is_one_label_map(options):
    masks = RegionMasks(**options).generate(scene()[0])
    assert masks.dtype == np.bool_
    assert masks.shape[1:] == (90, 120)
    assert (masks.sum(axis=0) == 1).all()


def test_the_default_is_two_scales_and_three_levels_of_superpixels():
    image = scene()[0]
    label_maps = RegionMasks().find(image).data
    assert label_maps.shape == (5, 90, 120)
    assert label_maps.dtype == np.int32
    masks = RegionMasks().generate(image)
    assert (masks.sum(axis=0) == 5).all()
    np.testing.assert_array_equal(masks, [t == k for t in label_maps for k in range(t.max() + 1)])


def test_superpixels_of_every_frame_are_an_option():
    assert RegionMasks().frame_superpixels == FrameSuperpixels(2)
    assert RegionMasks(fresh_levels=0).frame_superpixels is None


def test_it_recommends_its_own_rule():
    assert RegionMasks().recommended_rule == OascRule("inverse_variance", 0.6, 0.5)
    pipeline = Objectomaly(None, RegionMasks())
    assert pipeline.rule == RegionMasks.recommended_rule
    image, box = scene()
    score = (box + np.random.default_rng(4).normal(0, 0.3, box.shape)).astype(np.float32)
    masks = RegionMasks().generate(image)
    expected = refine_boundary(calibrate(score, masks, overlap="inverse_variance", residual=0.6))
    refinement = pipeline.refine(image, score)
    np.testing.assert_allclose(refinement.score, expected, rtol=0, atol=2e-6)
    np.testing.assert_array_equal(refinement.masks, masks)


def test_regions_follow_the_object():
    image, box = scene()
    masks = RegionMasks(sigma=0.5).generate(image)
    overlapping = masks[(masks & box).any(axis=(1, 2))]
    mostly = overlapping[(overlapping & box).sum(axis=(1, 2)) * 2 > overlapping.sum(axis=(1, 2))]
    union = mostly.any(axis=0)
    assert (union & box).sum() / (union | box).sum() > 0.9


def test_calibrating_with_regions_cleans_a_noisy_score():
    image, box = scene()
    rng = np.random.default_rng(2)
    score = (box + rng.normal(0, 0.5, box.shape)).astype(np.float32)
    calibrated = calibrate(score, RegionMasks().generate(image, score))
    wrong_before = ((score > 0.5) != box).mean()
    wrong_after = ((calibrated > 0.5) != box).mean()
    assert wrong_before > 0.1
    assert wrong_after < 0.02


def test_scales_follow_each_other_and_large_regions_can_be_left_out():
    image = scene()[0]
    fine = RegionMasks(scales=(50,), superpixel_levels=0).generate(image)
    coarse = RegionMasks(scales=(400,), superpixel_levels=0).generate(image)
    both = RegionMasks(scales=(50, 400), superpixel_levels=0).generate(image)
    np.testing.assert_array_equal(both, np.concatenate([fine, coarse]))
    limited = RegionMasks(scales=(50, 400), superpixel_levels=0, max_area=0.1).generate(image)
    areas = both.sum(axis=(1, 2))
    assert areas.max() > 0.1 * image[..., 0].size
    np.testing.assert_array_equal(limited, both[areas <= 0.1 * image[..., 0].size])


def test_large_images_are_worked_on_small():
    image = np.repeat(np.repeat(scene()[0], 8, axis=0), 8, axis=1)
    masks = RegionMasks().generate(image)
    assert masks.shape[1:] == (180, 240)
    result = calibrate(np.zeros(image.shape[:2], np.float32), masks)
    assert result.shape == image.shape[:2]


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 2), (3, 5)])
def test_tiny_and_even_images(shape):
    masks = RegionMasks().generate(np.full((*shape, 3), 128, np.uint8))
    assert (masks.sum(axis=0) == 5).all()


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (np.zeros((4, 4), np.uint8), ValueError),
        (np.zeros((4, 4, 3)), TypeError),
        (np.zeros((0, 4, 3), np.uint8), ValueError),
    ],
)
def test_other_images_are_refused(image, error):
    with pytest.raises(error, match=r"an image must .*\(H, W, 3\)"):
        RegionMasks().generate(image)


def test_the_same_image_gives_the_same_masks():
    image = scene()[0]
    np.testing.assert_array_equal(RegionMasks().generate(image), RegionMasks().generate(image))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": (), "superpixel_levels": 0}, "regions need scales, or superpixel_levels above"),
        ({"superpixel_levels": -1}, "superpixel_levels must be at least 0 .* got -1, 5.0"),
        ({"superpixel_step": 1}, "superpixel_step at least 2; got 3, 1"),
        ({"scales": (50, 0)}, "above 0"),
        ({"scales": 50}, "numbers above 0, in a list; got 50"),
        ({"scales": "fine"}, "numbers above 0, in a list; got 'fine'"),
        ({"fresh_levels": -1}, "fresh_levels must be at least 0 .* got -1"),
        ({"sigma": -1}, "sigma must be at least 0"),
        ({"min_size": 0}, "min_size and max_pixels at least 1"),
        ({"max_pixels": 0}, "min_size and max_pixels at least 1"),
        ({"max_area": 0}, "share of the image, above 0 to 1; got 0"),
        ({"max_area": 1.5}, "share of the image, above 0 to 1; got 1.5"),
        ({"checkpoint": "regions.pth"}, "no weights, but got the checkpoint 'regions.pth'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        RegionMasks(**options)


class TestLoading:
    def test_by_name(self):
        generator = load_mask_generator("regions", scales=[80])
        assert isinstance(generator, RegionMasks)
        assert generator.scales == (80.0,)

    def test_of_the_users_own(self, monkeypatch):
        class Own:
            def __init__(self, checkpoint, device, size):
                self.arguments = (checkpoint, device, size)

            def generate(self, image, score=None):
                return np.zeros((0, *image.shape[:2]), dtype=bool)

        module = types.ModuleType("somebodys_masks")
        module.Own = Own
        module.Useless = lambda checkpoint, device: object()
        monkeypatch.setitem(sys.modules, "somebodys_masks", module)
        generator = load_mask_generator("somebodys_masks:Own", "w.pth", "cuda:0", size=3)
        assert generator.arguments == ("w.pth", "cuda:0", 3)
        with pytest.raises(TypeError, match="without a `generate"):
            load_mask_generator("somebodys_masks:Useless")
        with pytest.raises(ImportError, match="'somebodys_masks' has no 'Other'"):
            load_mask_generator("somebodys_masks:Other")

    def test_unknown(self):
        with pytest.raises(ValueError, match=r"unknown mask generator 'region'; known: .*regions"):
            load_mask_generator("region")
        with pytest.raises(ImportError):
            load_mask_generator("no_such_module_at_all:Masks")
        with pytest.raises(TypeError, match="colour"):
            load_mask_generator("regions", colour="red")
