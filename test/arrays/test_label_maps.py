"""Label maps become one mask for each region."""

import numpy as np

from objectomaly_ros.arrays.label_maps import masks_of


def test_a_mask_for_each_region_by_map_and_label():
    first, second = np.array([[0, 0, 3]]), np.array([[-1, 1, -1]])
    masks = masks_of(np.array([first, second], np.int32))
    assert masks.dtype == np.bool_
    np.testing.assert_array_equal(masks, [first == 0, first == 3, second == 1])


def test_without_a_region():
    assert masks_of(np.full((2, 4, 5), -1, np.int32)).shape == (0, 4, 5)
