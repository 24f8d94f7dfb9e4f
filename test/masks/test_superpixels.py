"""Superpixels: even in size, true to edges, joined level by level, quick for every frame."""

import pickle

import numpy as np
import pytest

from objectomaly_ros.masks.superpixels import FrameSuperpixels, superpixel_levels


def test_superpixels_are_even_and_join_into_larger_ones():
    image = np.random.default_rng(3).integers(0, 255, (45, 60, 3), np.uint8)
    image = np.repeat(np.repeat(image, 4, axis=0), 4, axis=1)
    fine, middle, coarse = superpixel_levels(image, 6, 3, 0.8)
    areas = np.bincount(fine.ravel())
    assert areas.min() > 0
    assert 0.5 * 36 < np.median(areas) < 2 * 36
    for larger, smaller in ((middle, fine), (coarse, middle)):
        pairs = np.unique(np.stack([smaller.ravel(), larger.ravel()]), axis=1)
        assert len(pairs[0]) == len(np.unique(pairs[0])), "every region lies in one larger region"
        assert larger.max() < 0.6 * smaller.max()


def test_superpixels_keep_to_edges():
    box = np.zeros((180, 240), bool)
    box[60:90, 60:120] = True
    image = np.where(box[..., None], (220, 60, 40), (90, 100, 110))
    image = (image + np.random.default_rng(1).normal(0, 2, image.shape)).astype(np.uint8)
    fine = superpixel_levels(image, 6, 1, 0.8)[0]
    inside = np.bincount(fine.ravel(), weights=box.ravel()) / np.bincount(fine.ravel())
    assert np.abs((inside > 0.5)[fine] != box).mean() < 0.01


@pytest.mark.parametrize("shape", [(90, 120), (720, 1280), (1, 1), (3, 40)])
def test_superpixels_of_a_frame_are_label_maps_of_bounded_size(shape):
    image = np.random.default_rng(3).integers(0, 255, (*shape, 3), np.uint8)
    quick = FrameSuperpixels()
    assert pickle.loads(pickle.dumps(quick)) == quick
    label_maps = quick.label_maps(image)
    assert len(label_maps) == 2
    assert label_maps[0].size <= 160 * 120
    assert label_maps.min() == 0
    assert label_maps[1].max() <= label_maps[0].max() <= max(1, label_maps[0].size / 4)
