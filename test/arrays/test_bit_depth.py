from __future__ import annotations

import numpy as np
import pytest

from objectomaly_ros.arrays.bit_depth import BitDepth


def grey(value, bits=10, shape=(50, 200)):
    """An image of about one value, 0 to 255, as a sensor of so many bits gives it."""
    ramp = np.linspace(value * 0.9, value, shape[0] * shape[1]).reshape(shape)
    return np.round(ramp / 255 * ((1 << bits) - 1)).astype(np.uint16)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_the_depth_is_found_in_the_values(bits):
    result = BitDepth().to_eight_bits(grey(200, bits))
    assert result.dtype == np.uint8
    assert abs(int(result.max()) - 200) <= 1


def test_values_shifted_to_the_top_use_sixteen_bits():
    result = BitDepth().to_eight_bits(grey(20, 10) << 6)
    assert abs(int(result.max()) - 20) <= 1


@pytest.mark.parametrize("black", [0, 16, 64, 256])
def test_images_of_one_value_before_the_first_scene_tell_nothing_of_its_bits(black):
    depth = BitDepth()
    for _ in range(5):
        depth.to_eight_bits(np.full((50, 200), black, np.uint16))
    assert depth.to_eight_bits(grey(200, 12)).max() == 200


@pytest.mark.parametrize("bits", [10, 12])
def test_eight_bits_shifted_into_ten_or_twelve_are_bright(bits):
    result = BitDepth().to_eight_bits(grey(200, 8) << (bits - 8))
    np.testing.assert_array_equal(result, grey(200, 8))


def test_a_dark_image_does_not_change_the_depth():
    depth = BitDepth()
    depth.to_eight_bits(grey(200))
    assert abs(int(depth.to_eight_bits(grey(10)).max()) - 10) <= 1
    assert depth.to_eight_bits(grey(0)).max() == 0
    assert abs(int(depth.to_eight_bits(grey(200)).max()) - 200) <= 1


def test_more_bits_count_at_once_and_fewer_after_a_hundred_images():
    depth = BitDepth()
    for _ in range(2):
        assert depth.to_eight_bits(grey(200, 12)).max() == 200
        for _ in range(99):
            assert depth.to_eight_bits(grey(200, 10)).max() == 50
        assert depth.to_eight_bits(grey(200, 10)).max() == 200


def test_a_few_defect_pixels_are_clipped():
    depth, image = BitDepth(), grey(200)
    depth.to_eight_bits(image)
    image[7, 7] = 65535
    result = depth.to_eight_bits(image)
    assert result[7, 7] == 255
    assert result[8, 8] == depth.to_eight_bits(grey(200))[8, 8] > 150


def test_one_warning():
    texts = []
    depth = BitDepth(texts.append)
    for bits in (16, 10, 12, 10):
        for _ in range(150):
            depth.to_eight_bits(grey(200, bits))
    assert len(texts) == 1
    assert "use 10 so far" in texts[0]
    quiet = []
    BitDepth(quiet.append).to_eight_bits(grey(200, 16))
    assert quiet == []
