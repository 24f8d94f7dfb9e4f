"""Small networks with official names, deterministic weights, and the switch for heavy tests."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from small_networks import ARCHITECTURES, official_tensors, value

from tools.benchmarks.golden_files import write_golden_file

DATA = Path(__file__).parent / "data"


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: full-size networks; runs with OBJECTOMALY_SLOW=1")


def pytest_collection_modifyitems(items):
    if os.environ.get("OBJECTOMALY_SLOW") == "1":
        return
    skip = pytest.mark.skip(reason="full-size network; set OBJECTOMALY_SLOW=1 to run it")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def make_value():
    return value


@pytest.fixture(scope="session")
def street():
    """An RGB image of 70x100: gradients, rectangles, noise."""
    random = np.random.default_rng(9)
    y, x = np.mgrid[0:1:70j, 0:1:100j]
    image = np.stack([60 + 120 * x, 50 + 130 * y, 90 + 60 * np.sin(6 * (x + 2 * y))], -1)
    for _ in range(6):
        top, left = random.integers(0, 50), random.integers(0, 70)
        height, width = random.integers(6, 30, 2)
        image[top : top + height, left : left + width] = random.integers(0, 256, 3)
    return np.clip(image + random.normal(0, 6, image.shape), 0, 255).round().astype(np.uint8)


@pytest.fixture(scope="session")
def expected():
    """Compare with numbers of our own tested code, which the goldens have confirmed.

    `OBJECTOMALY_UPDATE_EXPECTED=1` writes them anew.
    """

    def check(name, tolerance=1e-3, **arrays):
        path = DATA / f"{name}.npz"
        if os.environ.get("OBJECTOMALY_UPDATE_EXPECTED") == "1":
            np.savez_compressed(path, **arrays)
        stored = np.load(path)
        for key, array in arrays.items():
            assert np.ptp(stored[key]) > 0.1, f"{name}: {key} hardly varies, it proves nothing"
            np.testing.assert_allclose(array, stored[key], atol=tolerance, err_msg=key)

    return check


@pytest.fixture(scope="session")
def golden_file(shared_dir, tmp_path_factory):
    """Write the official-format file of a golden's stand-in weights; returns its path."""

    def write(folder):
        path = tmp_path_factory.mktemp(folder) / "model_final.pth"
        write_golden_file(shared_dir / "golden", folder, path)
        return path

    return write


@pytest.fixture(scope="session")
def tiny_architectures():
    """Detector name -> a network of its kind that runs in milliseconds."""
    return ARCHITECTURES


@pytest.fixture(scope="session")
def tiny_tensors(tiny_architectures):
    """Detector name -> its small network's tensors under official names."""
    from objectomaly_ros.detectors.mask2former import Mask2FormerNetwork

    return {
        name: official_tensors(Mask2FormerNetwork(architecture))
        for name, architecture in tiny_architectures.items()
    }


@pytest.fixture
def tiny(tiny_architectures, tiny_tensors, tmp_path, monkeypatch):
    """Load a detector whose network is small, from a file like its authors'."""
    from dataclasses import replace

    from objectomaly_ros.detectors import load_detector
    from objectomaly_ros.detectors.mask_classification import RECIPES

    def load(name, tensors=None, *, save=torch.save, **options):
        recipe = replace(RECIPES[name], architectures=(tiny_architectures[name],))
        monkeypatch.setitem(RECIPES, name, recipe)
        path = tmp_path / f"{name}.pth"
        save({"model": tiny_tensors[name] if tensors is None else tensors}, path)
        return load_detector(name, checkpoint=path, **options)

    return load
