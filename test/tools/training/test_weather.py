"""Light, weather and camera of the training samples."""

import numpy as np
import pytest

from tools.training.embedded import sensor, weather
from tools.training.embedded.frames import PAVEMENT, ROAD
from tools.training.embedded.samples import bonnet

BUILDING = 1


@pytest.fixture
def view():
    label = np.full((90, 120), BUILDING, np.uint8)
    label[:20], label[40:], label[40:, :20] = weather.SKY, ROAD, PAVEMENT
    near = np.full(label.shape, -1, np.int16)
    return weather.View(label, weather.distances(label, near, 36.0), 36.0)


@pytest.fixture
def light():
    rng = np.random.default_rng(1)
    return (0.2 + 0.5 * rng.random((90, 120, 3))).astype(np.float32)


def test_distances_grow_towards_the_horizon(view):
    ground = view.distance[41:, 60]
    assert (np.diff(ground) <= 0).all()
    assert ground[-1] < 5 < ground[0]
    assert view.distance[5, 5] > view.distance[30, 60] > ground[-1]


@pytest.mark.parametrize("change", ["dusk", "low_sun", "fog", "snow", "rain"])
def test_weather_changes_the_light_and_stays_finite(change, view, light):
    before = light.copy()
    changes = []
    for seed in range(6):
        found = getattr(weather, change)(light, view, np.random.default_rng(seed))
        assert found.shape == light.shape
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
        changes.append(np.abs(found - light).mean())
        np.testing.assert_array_equal(light, before)
    assert min(changes) > 0
    assert np.mean(changes) > 0.01


def test_fog_hides_the_far_more_than_the_near(view, light):
    for seed in range(5):
        found = weather.fog(light, view, np.random.default_rng(seed))
        assert found[:15].std() < found[-15:].std()


def test_night_is_dark_and_headlights_light_the_road_ahead(view, light):
    lit = []
    for seed in range(20):
        found, gain = weather.night(light, view, np.random.default_rng(seed))
        assert gain >= 2
        lit.append(found.mean(axis=(1, 2)))
    mean = np.mean(lit, axis=0)
    assert mean[-20:].mean() > 2 * mean[:10].mean()
    assert mean.mean() < 0.5 * light.mean()


def test_noise_grows_with_light_and_gain():
    rng = np.random.default_rng(0)
    spread = [
        sensor.noise(np.full((80, 80, 3), level, np.float32), gain, rng).std()
        for level, gain in ((0.05, 1), (0.5, 1), (0.5, 9))
    ]
    assert spread[0] < spread[1] < spread[2]


def test_development_keeps_a_picture_a_picture(light):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        image = sensor.develop(sensor.expose(light, rng), 2.0, rng)
        assert image.shape == light.shape
        assert image.dtype == np.uint8


def test_linear_light_and_back():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    np.testing.assert_allclose(sensor.to_image(sensor.to_linear(image)), image, atol=1)


def test_the_bonnet_is_normal_and_has_no_class(view):
    rng = np.random.default_rng(3)
    image = np.full((90, 120, 3), 200, np.uint8)
    label, odd = view.label.copy(), np.ones((90, 120), np.uint8)
    bonnet(image, label, odd, rng)
    drawn = label == 255
    assert drawn[-1].any()
    assert not drawn[:45].any()
    assert (odd[drawn] == 0).all()
    assert (odd[~drawn] == 1).all()
    assert (image[~drawn] == 200).all()
