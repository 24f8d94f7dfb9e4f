"""Sizes, normalisation and padding of the networks' input."""

import numpy as np
import pytest
import torch

from objectomaly_ros.detectors.preprocessing import network_size, normalised, resize, size_policy


@pytest.mark.parametrize(
    ("shape", "policy", "size"),
    [
        ((256, 512), 1024, (1024, 2048)),
        ((720, 1280), 1024, (1024, 1820)),
        ((1080, 1920), 1024, (1024, 1820)),
        ((90, 163), 128, (128, 232)),
        ((100, 1000), 1024, (205, 2048)),  # the long side's limit
        ((1000, 100), 1024, (2048, 205)),
        ((199, 301), None, (199, 301)),
        ((199, 301), (720, 1280), (720, 1280)),
        ((500, 500), 1024, (1024, 1024)),
    ],
)
def test_network_size(shape, policy, size):
    assert network_size(shape, policy) == size


@pytest.mark.parametrize(
    ("input_size", "policy"),
    [("published", 1024), (None, None), (480, 480), ([96, 160], (96, 160)), ((96, 160), (96, 160))],
)
def test_size_policy(input_size, policy):
    assert size_policy(input_size, published=1024) == policy


@pytest.mark.parametrize("input_size", ["large", 0, [96], [96, -1], [96, 160.5], [], 2.5, True])
def test_size_policies_that_are_none(input_size):
    with pytest.raises(ValueError, match=r"input_size is .*; it must be a short side in pixels"):
        size_policy(input_size, published=1024)


def test_resize_antialiases():
    image = np.zeros((40, 40, 3), np.uint8)
    image[::2] = 200
    small = resize(image, (10, 10))
    assert small.dtype == np.uint8
    assert abs(small[2:-2].astype(int) - 100).max() <= 10  # a mean, not a sample
    assert resize(image, (40, 40)) is image


def test_normalised_pads_with_zeros_right_and_bottom():
    image = np.full((33, 40, 3), (124, 116, 104), np.uint8)
    pixels = normalised(image, torch.device("cpu"), multiple=32)
    assert pixels.shape == (1, 3, 64, 64)
    expected = (np.array([124, 116, 104]) - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]
    np.testing.assert_allclose(pixels[0, :, 0, 0].numpy(), expected, atol=1e-6)
    assert (pixels[:, :, 33:] == 0).all()
    assert (pixels[:, :, :, 40:] == 0).all()
    assert (pixels[0, :, :33, :40] != 0).all()


def test_normalised_keeps_a_size_that_fits_and_takes_other_constants():
    image = np.full((2, 3, 3), 10, np.uint8)
    pixels = normalised(image, torch.device("cpu"), mean=(0, 5, 10), std=(1, 2, 4))
    assert pixels.shape == (1, 3, 2, 3)
    assert pixels[0, :, 0, 0].tolist() == [10, 2.5, 0]
