"""Checks pass what fits, bring it to one form, and say what does not fit."""

import numpy as np
import pytest

from objectomaly_ros.arrays.checks import check_image, check_label_maps, check_masks, check_score


@pytest.mark.parametrize(
    ("check", "given", "dtype"),
    [
        (check_score, np.ones((4, 6))[:, ::2], np.float32),
        (check_score, np.ones((1, 1), np.float16), np.float32),
        (check_masks, np.ones((2, 4, 6), bool)[:, ::2], np.bool_),
        (check_masks, np.ones((0, 4, 6), bool), np.bool_),
        (check_label_maps, np.full((1, 2, 3), -1, np.int64), np.int32),
        (check_label_maps, np.full((1, 2, 3), 9, np.uint8), np.int32),
    ],
)
def test_what_fits_becomes_contiguous_of_one_type(check, given, dtype):
    checked = check(given)
    assert checked.dtype == dtype
    assert checked.flags.c_contiguous
    np.testing.assert_array_equal(checked, given)


def test_an_image_stays_itself():
    image = np.zeros((2, 4, 3), np.uint8)[:, ::2]
    assert check_image(image) is image


@pytest.mark.parametrize(
    ("check", "given", "error", "message"),
    [
        (check_image, [[1]], TypeError, "numpy array .* of uint8, RGB; got list"),
        (check_image, np.zeros((2, 2, 3)), TypeError, "got float64"),
        (check_image, np.zeros((2, 2, 4), np.uint8), ValueError, r"got \(2, 2, 4\)"),
        (check_score, np.zeros((2, 2), int), TypeError, "got int64; convert it with score.astype"),
        (check_score, np.zeros(2), ValueError, r"shape \(H, W\), got \(2,\)"),
        (check_score, np.zeros((0, 2)), ValueError, r"at least one pixel, got shape \(0, 2\)"),
        (check_masks, np.zeros((2, 2), bool), ValueError, r"give a single mask as masks\[None\]"),
        (check_masks, np.zeros((1, 2, 2)), TypeError, "got float64; convert them with masks > 0"),
        (check_masks, np.zeros((1, 0, 2), bool), ValueError, "at least one pixel each"),
        (check_label_maps, np.zeros((1, 4, 5)), TypeError, "must hold integers, got float64"),
        (check_label_maps, np.zeros((4, 5), int), ValueError, r"shape \(T, h, w\)"),
        (check_label_maps, np.zeros((0, 4, 5), int), ValueError, "at least one pixel"),
        (check_label_maps, np.full((1, 4, 5), -2), ValueError, "-1, for no region, .*; got -2"),
    ],
)
def test_what_does_not_fit_is_said(check, given, error, message):
    with pytest.raises(error, match=message):
        check(given)
