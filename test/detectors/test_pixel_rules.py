"""Per-pixel scores against RPL's own function and against their definitions."""

import cv2
import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax

from objectomaly_ros.detectors import pixel_rules


def test_rpl_golden(shared_dir):
    data = np.load(shared_dir / "golden" / "rpl" / "score_golden.npz")
    logits = torch.from_numpy(data["logits"])
    energy = pixel_rules.energy(logits)
    assert np.abs(energy.numpy() - data["energy_before_blur"]).max() < 1e-5
    assert np.abs(pixel_rules.smooth(energy).numpy() - data["anomaly_energy"]).max() < 1e-5
    entropy = pixel_rules.smooth(pixel_rules.entropy(logits))
    assert np.abs(entropy.numpy() - data["anomaly_entropy"]).max() < 1e-5


@pytest.fixture
def logits():
    return torch.from_numpy(np.random.default_rng(4).normal(0, 5, (19, 13, 17)).astype(np.float32))


def test_rules_are_their_definitions(logits):
    values = logits.numpy().astype(np.float64)
    p = softmax(values, axis=0)
    expected = {
        "msp": 1 - p.max(0),
        "max_logit": -values.max(0),
        "entropy": -(p * np.log(p)).sum(0) / np.log(19),
        "energy": -logsumexp(values, axis=0),
    }
    assert set(expected) == set(pixel_rules.RULES)
    for name, rule in pixel_rules.RULES.items():
        np.testing.assert_allclose(rule(logits).numpy(), expected[name], atol=1e-5)


def test_entropy_of_certainty_is_zero_not_nan():
    logits = torch.zeros(3, 1, 1)
    logits[0] = 1e4
    assert pixel_rules.entropy(logits).item() == 0.0


@pytest.mark.parametrize("shape", [(13, 17), (1, 1), (1, 6), (2, 9), (3, 3), (4, 2)])
def test_smooth_is_opencvs_gaussian_on_images_of_any_size(logits, shape):
    score = logits[0, : shape[0], : shape[1]]
    expected = cv2.GaussianBlur(score.numpy(), (7, 7), 1, borderType=cv2.BORDER_REFLECT_101)
    np.testing.assert_allclose(pixel_rules.smooth(score).numpy(), expected, atol=1e-5)
