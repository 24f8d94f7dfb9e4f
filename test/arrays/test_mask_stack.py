"""A stack of masks: crops at any resolution are OpenCV's, and nothing of a mask is cut off."""

import cv2
import numpy as np
import pytest
from scenes import blobs

from objectomaly_ros.arrays.mask_stack import MaskStack, nearest_pixels


@pytest.mark.parametrize("shape", [(40, 50), (23, 50), (40, 77), (93, 20), (1, 1)])
@pytest.mark.parametrize("given_boxes", [False, True])
def test_crops_put_back_are_the_resized_masks(shape, given_boxes):
    masks = blobs(np.random.default_rng(1), 20, 40, 50)
    masks[3] = False
    boxes = [cv2.boundingRect(mask.view(np.uint8)) for mask in masks] if given_boxes else None
    stack = MaskStack(masks, shape, boxes=boxes)
    assert len(stack) == 20
    for index, mask in enumerate(masks):
        restored = np.zeros(shape, np.uint8)
        located = stack.crop(index)
        if located is not None:
            box, crop = located
            restored[box] = crop
        size = shape[::-1]
        expected = cv2.resize(mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        np.testing.assert_array_equal(restored, expected)


def test_a_crop_is_not_much_larger_than_the_mask():
    masks = np.zeros((1, 200, 300), bool)
    masks[0, 70:75, 120:140] = True
    box, mask = MaskStack(masks, (200, 300)).crop(0)
    assert (box[1].start, box[1].stop) == (120, 140)
    assert mask.shape[0] <= 32


def test_boxes_of_generators_whose_width_is_last_minus_first_hold_the_mask():
    masks = np.zeros((1, 8, 9), bool)
    masks[0, 2:5, 3:7] = True
    _, mask = MaskStack(masks, (8, 9), boxes=[[3, 2, 3, 2]]).crop(0)
    assert mask.sum() == 12


def test_order_is_by_area_then_as_given():
    masks = np.zeros((4, 1, 5), bool)
    for mask, pixels in zip(masks, (3, 1, 3, 0), strict=True):
        mask[0, :pixels] = True
    assert MaskStack(masks, (1, 5)).areas.tolist() == [3, 1, 3, 0]
    assert MaskStack(masks, (1, 5)).ascending().tolist() == [3, 1, 0, 2]
    assert MaskStack(masks, (1, 5), areas=[1, 2, 0, 3]).ascending().tolist() == [2, 0, 1, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"areas": [1, 2, 3]}, r"areas must have shape \(2,\), one a mask, got \(3,\)"),
        ({"boxes": [[0, 0, 4, 4]]}, r"boxes must have shape \(2, 4\)"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MaskStack(np.ones((2, 4, 5), bool), (4, 5), **options)


@pytest.mark.parametrize(("source", "target"), [(5, 5), (5, 13), (13, 5), (1, 4), (4, 1)])
def test_nearest_pixels_are_opencvs(source, target):
    line = np.arange(source, dtype=np.uint8)[None]
    expected = cv2.resize(line, (target, 1), interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(nearest_pixels(source, target), expected[0])
