"""Images that are unlike those of the training."""

import json

import numpy as np
import pytest
from tiny_embedded import street, write_tiny_network

from objectomaly_ros.detectors import detect
from objectomaly_ros.detectors.embedded import EmbeddedDetector
from objectomaly_ros.detectors.familiarity import Familiarity
from objectomaly_ros.detectors.memory import learn
from tools.training.familiar import familiar


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    """A detector that knows streets with the sign, in two folders."""
    path = tmp_path_factory.mktemp("weights") / "tiny.onnx"
    plain = EmbeddedDetector(write_tiny_network(path), input_size=96)
    folders = [[street(seed) for seed in range(start, start + 20)] for start in (0, 20)]
    write_tiny_network(path, familiar=json.dumps(familiar(plain, folders, [])))
    return EmbeddedDetector(path, input_size=96)


def test_training_images_are_familiar(detector):
    found = [detect(detector, street(seed)).strangeness for seed in range(40, 60)]
    assert np.mean(np.array(found) <= 1.2) >= 0.9


def test_other_colours_and_larger_alarms_are_strange(detector):
    green = street(50)
    green[..., 1] = 255 - green[..., 1] // 4
    assert detect(detector, green).strangeness > 1.5
    red = street(50)
    red[40:90, 10:120] = (220, 40, 40)
    assert detect(detector, red).strangeness > 1.5


def test_with_a_memory_nothing_is_strange(detector):
    memory = learn(detector, [street(0)])
    detector.use(memory)
    try:
        assert detect(detector, street(1)).strangeness is None
    finally:
        detector.use(None)


def test_without_statistics_nothing_is_known(tmp_path):
    plain = EmbeddedDetector(write_tiny_network(tmp_path / "plain.onnx"), input_size=96)
    assert detect(plain, street()).strangeness is None


@pytest.mark.parametrize(
    "entry",
    [
        3,
        {},
        {"alarm_area_p99": 0, "feature_distance_p99": 1, "feature_mean": [1]},
        {"alarm_area_p99": 1, "feature_distance_p99": 1, "feature_mean": ["x"]},
    ],
)
def test_damaged_statistics_are_told(entry):
    with pytest.raises(ValueError, match="'familiar' is damaged"):
        Familiarity.from_metadata({"familiar": entry})
