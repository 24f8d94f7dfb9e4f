"""Packed masks are NumPy's, whatever is done with them."""

import numpy as np
import pytest
import torch

from objectomaly_ros.arrays.mask_stack import nearest_pixels
from objectomaly_ros.gpu import mask_bits
from objectomaly_ros.gpu.mask_bits import count_bits, pack_bits, resize_bits, unpack_bits


@pytest.fixture(params=[2**26, 200], ids=["at once", "in parts"])
def masks(request, monkeypatch):
    monkeypatch.setattr(mask_bits, "_TILE_PIXELS", request.param)
    masks = np.random.default_rng(1).random((5, 6, 13)) < 0.5
    masks[1], masks[2] = False, True
    return masks


def test_bits_are_numpys(masks):
    bits = pack_bits(torch.from_numpy(masks))
    np.testing.assert_array_equal(bits, np.packbits(masks, axis=2))
    np.testing.assert_array_equal(unpack_bits(bits, 13), masks)


def test_pixels_are_counted(masks):
    counts = count_bits(pack_bits(torch.from_numpy(masks)))
    assert counts.dtype == torch.int64
    np.testing.assert_array_equal(counts, masks.sum((1, 2)))


@pytest.mark.parametrize("shape", [(6, 13), (3, 13), (6, 40), (11, 7), (1, 1)])
def test_another_resolution_takes_the_nearest_pixels(masks, shape):
    resized = resize_bits(pack_bits(torch.from_numpy(masks)), 13, shape)
    rows, columns = nearest_pixels(6, shape[0]), nearest_pixels(13, shape[1])
    expected = masks[:, rows][:, :, columns]
    np.testing.assert_array_equal(resized, np.packbits(expected, axis=2))


def test_no_masks():
    none = pack_bits(torch.zeros((0, 6, 13), dtype=torch.bool))
    assert count_bits(none).shape == (0,)
    assert resize_bits(none, 13, (3, 5)).shape == (0, 3, 1)
