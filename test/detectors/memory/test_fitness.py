"""Which drives are fit to learn from."""

import numpy as np
import pytest

from objectomaly_ros.detectors.memory.fitness import Fitness


def noise(seed):
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)


def problem(seconds, moving, rate=2):
    fitness = Fitness()
    for index in range(seconds * rate):
        fitness.add(noise(index if index % 100 < 100 * moving else 0), index / rate)
    return fitness.problem()


def test_a_long_moving_drive_is_fit():
    assert problem(70, 1.0) is None
    assert problem(100, 0.7) is None


def test_a_short_drive_is_told():
    assert "too short: 10 s" in problem(10, 1.0, rate=10)
    assert "too short: 0 s" in Fitness().problem()


@pytest.mark.parametrize("moving", [0.0, 0.3])
def test_a_standing_drive_is_told(moving):
    assert "stands still" in problem(100, moving)
