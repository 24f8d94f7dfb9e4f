"""The statistics of training images in the weights' metadata."""

import json

import numpy as np
import pytest
import torch

from objectomaly_ros.detectors.embedded import EmbeddedDetector
from objectomaly_ros.detectors.embedded_net import EmbeddedNet, NetConfig
from tools.training import familiar
from tools.training.embedded.export import export


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(2)
    path = tmp_path / "small.safetensors"
    export(EmbeddedNet(NetConfig(decoder=8, fine=8)).eval(), path, {"threshold": 0.5})
    return path


def test_the_entry_is_written_and_the_training_images_are_familiar(
    weights, data, monkeypatch, capsys
):
    before = EmbeddedDetector(weights)
    monkeypatch.setattr("sys.argv", ["familiar", "--weights", str(weights), "--data", str(data)])
    familiar.main()
    shown = json.loads(capsys.readouterr().out)
    detector = EmbeddedDetector(weights)
    assert detector.metadata["familiar"].items() >= shown.items()
    assert len(detector.metadata["familiar"]["feature_mean"]) == 112
    assert shown["alarm_area_p99"] >= familiar.LEAST_AREA
    assert detector.threshold == before.threshold
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    np.testing.assert_array_equal(detector.score(image), before.score(image))


def test_the_area_is_that_of_folders_without_obstacles():
    class Detector:
        threshold = 0.5

        def score_and_features(self, image):
            return np.full((4, 4), image.mean() / 255), np.ones((112, 2, 2), np.float32)

    dark, bright = (np.full((8, 8, 3), level, np.uint8) for level in (0, 255))
    found = familiar.familiar(Detector(), [[dark]], [[bright]])
    assert found["alarm_area_p99"] == familiar.LEAST_AREA
    assert familiar.familiar(Detector(), [[bright]], [[dark]])["alarm_area_p99"] == 1.0
