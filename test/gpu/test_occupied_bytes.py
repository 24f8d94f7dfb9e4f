"""Bytes that hold a pixel are found, whole and in order, and summed mask by mask."""

import numpy as np
import pytest
import torch

from objectomaly_ros.gpu import occupied_bytes
from objectomaly_ros.gpu.occupied_bytes import OccupiedBytes


@pytest.mark.parametrize("size", [2**21, 7])
def test_bytes_and_sums(size, monkeypatch):
    monkeypatch.setattr(occupied_bytes, "_PART", size)
    random = np.random.default_rng(0)
    bits = random.integers(0, 256, (6, 5, 3), dtype=np.uint8) * (random.random((6, 5, 3)) < 0.4)
    bits[0], bits[3], bits[5] = 0, 0, 255
    bits = bits.astype(np.uint8)
    occupied = OccupiedBytes.of(torch.from_numpy(bits))
    rebuilt = np.zeros((6, 15), np.uint8)
    for part in occupied.parts:
        assert len(part.byte) <= size
        assert (part.byte > 0).all()
        rebuilt[part.mask, part.position] = part.byte
        np.testing.assert_array_equal(part.pixels(), np.unpackbits(part.byte[:, None], axis=1))
    np.testing.assert_array_equal(rebuilt.reshape(bits.shape), bits)
    sums = occupied.sums([part.byte for part in occupied.parts])
    np.testing.assert_array_equal(sums, bits.sum((1, 2), dtype=np.int64))


def test_no_pixel_at_all():
    occupied = OccupiedBytes.of(torch.zeros((3, 5, 2), dtype=torch.uint8))
    assert [len(part.byte) for part in occupied.parts] == [0]
    assert occupied.sums([part.byte for part in occupied.parts]).tolist() == [0, 0, 0]
