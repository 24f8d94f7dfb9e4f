"""Cells are the distinct sets of masks, numbered, with the masks of each."""

import cv2
import numpy as np
import pytest
from scenes import blobs

from objectomaly_ros.arrays.mask_stack import MaskStack
from objectomaly_ros.video.partition import cells_of_label_maps, cells_of_masks


def covering(incidence):
    """Return for each cell the set of masks that cover it."""
    pairs = list(zip(incidence.cells.tolist(), incidence.masks.tolist(), strict=True))
    return [{mask for cell, mask in pairs if cell == c} for c in range(incidence.n_cells)]


def test_masks_by_hand():
    large, small, empty = [[1, 1, 1, 0]], [[0, 1, 0, 0]], [[0, 0, 0, 0]]
    stack = MaskStack(np.array([large, empty, small], bool), (1, 4))
    ids, incidence = cells_of_masks(stack)
    assert ids[0, 3] == 0
    assert ids[0, 0] == ids[0, 2] != ids[0, 1] != 0
    sets = covering(incidence)  # masks are numbered by area, without the empty one
    assert [sets[i] for i in ids[0]] == [{1}, {0, 1}, {1}, set()]


def test_label_maps_by_hand():
    label_maps = np.array([[[0, 0, 0, -1]], [[5, -1, 2, 2]]])
    ids, incidence = cells_of_label_maps(label_maps, (1, 4))
    sets = covering(incidence)  # by area: label 5, label 2, label 0
    assert [sets[i] for i in ids[0]] == [{0, 2}, {2}, {1, 2}, {1}]
    assert sets[0] == set()


@pytest.mark.parametrize("count", [1, 70, 200])
def test_a_cell_is_a_distinct_set_of_masks(count):
    rng = np.random.default_rng(11)
    masks = blobs(rng, count, 40, 50)
    masks[:, :3, :3] = False  # something uncovered
    ids, incidence = cells_of_masks(MaskStack(masks, (40, 50)))
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids == 0, ~masks.any(axis=0))
    sets = np.packbits(masks, axis=0).reshape(-1, ids.size).T
    pairs = np.unique(np.column_stack([ids.ravel(), sets]), axis=0)
    assert len(pairs) == len(np.unique(sets, axis=0)) == len(np.unique(ids))
    np.testing.assert_array_equal(
        np.array([len(masks) for masks in covering(incidence)])[ids], masks.sum(axis=0)
    )


def test_zero_stays_free_if_all_is_covered():
    assert (cells_of_masks(MaskStack(np.ones((1, 4, 5), bool), (4, 5)))[0] > 0).all()
    assert (cells_of_label_maps(np.zeros((1, 4, 5), int), (4, 5))[0] > 0).all()


def test_no_masks():
    ids, incidence = cells_of_masks(MaskStack(np.zeros((0, 4, 5), bool), (4, 5)))
    assert not ids.any()
    assert (incidence.n_cells, len(incidence.cells)) == (1, 0)


def test_resizing_is_that_of_opencv():
    mask = np.random.default_rng(31).random((1, 73, 91)) < 0.5
    expected = cv2.resize(mask[0].astype(np.uint8), (133, 40), interpolation=cv2.INTER_NEAREST)
    of_masks, _ = cells_of_masks(MaskStack(mask, (40, 133)))
    of_label_maps, _ = cells_of_label_maps(mask.astype(int) - 1, (40, 133))
    np.testing.assert_array_equal(of_masks > 0, expected > 0)
    np.testing.assert_array_equal(of_label_maps > 0, expected > 0)
