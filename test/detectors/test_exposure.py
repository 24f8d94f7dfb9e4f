"""Dark images are brightened, daylight stays as it is."""

import itertools

import numpy as np
import pytest

from objectomaly_ros.detectors.exposure import MEAN, expose


def grey(mean: float, noise: float = 0.0) -> np.ndarray:
    values = np.random.default_rng(3).normal(255 * mean, noise, (90, 120, 3))
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("mean", [MEAN + 0.01, 0.5, 1.0])
def test_daylight_passes_unchanged(mean):
    image = grey(mean, 3)
    assert expose(image) is image


@pytest.mark.parametrize("mean", [0.1, 0.15, 0.25])
def test_a_dark_image_reaches_the_mean_of_daylight(mean):
    image = grey(mean)
    assert expose(image).mean() / 255 == pytest.approx(MEAN, abs=0.02)
    assert image.mean() < 255 * MEAN  # the image that came in is left alone


def test_the_order_of_values_stays():
    image = np.tile(np.arange(0, 60, dtype=np.uint8)[:, None, None], (1, 80, 3))
    assert (np.diff(expose(image)[:, 0, 0].astype(int)) >= 0).all()


def test_the_noise_of_a_night_image_is_smoothed():
    image = grey(0.04, 4)
    brightened = np.round(255 * (image / 255.0) ** 0.4)
    assert expose(image).std() < 0.5 * brightened.std()


@pytest.mark.parametrize("value", [0, 1])
def test_black_stays_dark(value):
    image = np.full((64, 64, 3), value, np.uint8)
    found = expose(image)
    assert found.shape == image.shape
    assert found.max() < 40


def test_brightness_changes_without_a_jump():
    """A camera that drives into a tunnel passes all means; no two neighbours differ much."""
    rng = np.random.default_rng(5)
    scene = rng.uniform(0.2, 1.0, (90, 120, 3))
    means = [
        expose((scene * gain * 255).astype(np.uint8)).astype(float)
        for gain in np.linspace(0.6, 0.02, 120)
    ]
    steps = [np.abs(a - b).mean() for a, b in itertools.pairwise(means)]
    assert max(steps) < 12
