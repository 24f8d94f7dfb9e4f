"""Frames are refined with the masks of the keyframes on both sides."""

import numpy as np
import pytest
from offline_drives import picture
from simple_models import BandMasks, RednessDetector

from objectomaly_ros import Objectomaly
from objectomaly_ros.masks.regions import RegionMasks
from objectomaly_ros.oasc import OascRule, rule_for
from objectomaly_ros.offline.block import BlockRefiner, Frame

DETECTOR = RednessDetector()


def frame(index, image=None):
    image = picture(index) if image is None else image
    return Frame(index, index / 10, image, "front", DETECTOR.detect(image))


def refined(refiner, frames, after=None):
    before = refiner.keyframe(frames[0])
    return [one.score for one in refiner.refine(frames, before, after)]


@pytest.mark.parametrize("generator", [RegionMasks(), BandMasks()])
def test_a_keyframe_is_refined_as_a_single_image(generator):
    refiner = BlockRefiner(generator, rule_for(generator))
    (score,) = refined(refiner, [frame(0)])
    expected = Objectomaly(DETECTOR, generator).refine(picture(0)).score
    np.testing.assert_allclose(score, expected, rtol=0, atol=1e-6)


def test_a_scene_that_stands_still_is_refined_as_its_keyframes():
    generator = BandMasks(bands=3)
    refiner = BlockRefiner(generator, OascRule())
    image = picture(0)
    frames = [frame(index, image) for index in range(4)]
    both = refined(refiner, frames[:3], refiner.keyframe(frames[3]))
    for score in both:
        np.testing.assert_allclose(score, both[0], rtol=0, atol=1e-5)


class Halves:
    """One mask, on the left in the first image and on the right in later ones."""

    def __init__(self):
        self.made = 0

    def generate(self, image, score=None):
        mask = np.zeros((1, *image.shape[:2]), bool)
        half = image.shape[1] // 2
        mask[0, :, :half] = self.made == 0
        mask[0, :, half:] = self.made > 0
        self.made += 1
        return mask


def test_both_keyframes_decide_and_the_nearer_more():
    image = picture(0)
    frames = [frame(index, image) for index in range(4)]
    coarse = frames[0].detection.score
    left, right = slice(8, 40), slice(56, 88)
    refiner = BlockRefiner(Halves(), OascRule(fade_s=0.1))
    before = refiner.keyframe(frames[0])
    after = refiner.keyframe(frames[3])
    found = [one.score for one in refiner.refine(frames[:3], before, after)]
    forward = [one.score for one in refiner.refine(frames[:3], before, None)]
    flat = [[np.ptp(score[10:30, side]) for side in (left, right)] for score in found]
    assert flat[0][0] < 1e-6
    for inner in (1, 2):  # each side takes the mean of its mask, blended with its own score
        assert flat[inner][1] < np.ptp(coarse[10:30, right])
        np.testing.assert_array_equal(
            np.round(forward[inner][10:30, right], 5),
            np.round(forward[0][10:30, right], 5),
        )


def test_without_a_generator_scores_stay_coarse():
    refiner = BlockRefiner(None, OascRule())
    frames = [frame(0), frame(1)]
    assert refiner.keyframe(frames[0]) is None
    for one, given in zip(refiner.refine(frames, None, None), frames, strict=True):
        assert not one.refined
        assert one.score is given.detection.score
