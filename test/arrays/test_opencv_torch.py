"""Maps are resized as by OpenCV, up, down, and up on one side only."""

import cv2
import numpy as np
import pytest
import torch

from objectomaly_ros.arrays.opencv_torch import resize_map

SIZES = [
    ((64, 96), (40, 60)), ((64, 96), (100, 131)), ((64, 96), (32, 48)), ((64, 96), (60, 101)),
    ((64, 96), (70, 90)), ((64, 96), (64, 90)), ((64, 96), (64, 100)), ((64, 96), (64, 96)),
    ((1, 5), (3, 3)), ((7, 1), (2, 1)), ((346, 461), (720, 1280)),
]  # fmt: skip


@pytest.mark.parametrize("interpolation", [cv2.INTER_LINEAR, cv2.INTER_AREA])
@pytest.mark.parametrize(("source", "target"), SIZES)
def test_equals_opencv(source, target, interpolation):
    values = np.random.default_rng(0).random(source, dtype=np.float32)
    expected = cv2.resize(values, target[::-1], interpolation=interpolation).reshape(target)
    ours = resize_map(torch.from_numpy(values), target, interpolation)
    assert ours.dtype == torch.float32
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)
