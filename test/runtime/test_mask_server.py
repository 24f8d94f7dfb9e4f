"""What the mask process sends of a generator's masks."""

import pickle

import numpy as np
import pytest

from objectomaly_ros.masks.regions import RegionMasks
from objectomaly_ros.oasc import PAPER, OascRule, rule_for
from objectomaly_ros.runtime.mask_server import generate

IMAGE = np.random.default_rng(1).integers(0, 255, (60, 80, 3), np.uint8)
SCORE = np.zeros((60, 80), np.float32)


class Halves:
    def generate(self, image, score=None):
        masks = np.zeros((2, 60, 80), bool)
        masks[0, :, :40], masks[1, :, 40:] = True, True
        return masks


def test_masks_come_with_their_rule_through_the_pipe():
    rule = OascRule("smallest", 0.1, 2.0)
    masks = pickle.loads(pickle.dumps(generate(Halves(), IMAGE, SCORE, rule)))
    assert masks.count == 2
    assert masks.cells.rule == rule
    assert masks.cells.ids.shape == (60, 80)
    assert masks.frame_superpixels is None


def test_regions_bring_quick_masks_of_the_frames_after():
    regions = RegionMasks()
    masks = pickle.loads(pickle.dumps(generate(regions, IMAGE, SCORE, rule_for(regions))))
    assert masks.frame_superpixels == regions.frame_superpixels
    assert masks.frame_superpixels.label_maps(IMAGE).shape == (2, 60, 80)


@pytest.mark.parametrize("rule", [PAPER, OascRule("smallest")])
def test_only_where_the_rule_can_join_them(rule):
    assert generate(RegionMasks(), IMAGE, SCORE, rule).frame_superpixels is None


def test_none_where_they_are_not_wanted():
    regions = RegionMasks(fresh_levels=0)
    assert generate(regions, IMAGE, SCORE, rule_for(regions)).frame_superpixels is None
