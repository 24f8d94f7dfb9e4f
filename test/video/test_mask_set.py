"""OASC with masks in any form: arrays, label maps and tensors give the same."""

import numpy as np
import pytest
import torch
from scenes import rough_score

from objectomaly_ros import oasc
from objectomaly_ros.oasc import PAPER, OascRule
from objectomaly_ros.types import MaskSet
from objectomaly_ros.video import mask_set

LABELS = np.array([[[0, 0, 1], [2, -1, 1]]], np.int32)
MASKS = np.array([LABELS[0] == label for label in range(3)])


class Finds:
    """A generator that finds what it was given."""

    def __init__(self, found):
        self.found = found

    def find(self, image, score=None):
        return self.found


class Generates:
    def __init__(self, masks):
        self.masks = masks

    def generate(self, image, score=None):
        return self.masks


@pytest.mark.parametrize("data", [MASKS, LABELS, torch.from_numpy(MASKS)])
@pytest.mark.parametrize("rule", [PAPER, OascRule("inverse_variance", 0.5)])
def test_every_form_gives_the_same(data, rule):
    masks = MaskSet(data)
    np.testing.assert_array_equal(mask_set.host_masks(masks), MASKS)
    score = rough_score(np.random.default_rng(1), 4, 6)
    expected = oasc.calibrate(score, MASKS, overlap=rule.overlap, residual=rule.residual)
    np.testing.assert_allclose(mask_set.calibrate(masks, score, rule), expected, atol=2e-6)
    by_cells = mask_set.cells(masks, (4, 6), rule).calibrate(score)
    np.testing.assert_allclose(by_cells, expected, atol=2e-6)


def test_areas_and_boxes_are_passed_on():
    masks = np.array([[[1, 1, 0]], [[0, 1, 1]]], bool)
    score = np.array([[1, 2, 6]], np.float32)
    narrow = MaskSet(masks, areas=np.array([2, 1]), boxes=np.array([[0, 0, 2, 1], [1, 0, 1, 1]]))
    for calibrated in (
        mask_set.calibrate(narrow, score, PAPER),
        mask_set.cells(narrow, (1, 3), PAPER).calibrate(score),
    ):
        np.testing.assert_allclose(calibrated, [[1.5, 1.5, 4]])


def test_find_masks_asks_for_the_fastest_form():
    found = MaskSet(LABELS)
    assert mask_set.find_masks(Finds(found), None, None) is found
    np.testing.assert_array_equal(mask_set.find_masks(Generates(MASKS), None, None).data, MASKS)


@pytest.mark.parametrize(
    ("generator", "message"),
    [
        (Finds(MASKS), "`find` of Finds returned a ndarray; it must return a MaskSet"),
        (Finds(MaskSet(LABELS - 2)), "labels must be -1"),
        (Generates(LABELS), "masks must be bool, got int32"),
    ],
)
def test_other_answers_are_refused(generator, message):
    with pytest.raises((TypeError, ValueError), match=message):
        mask_set.find_masks(generator, None, None)
