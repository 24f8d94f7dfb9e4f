"""A small dataset on disk: noisy red objects on grey ground."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

SUPPORT = Path(__file__).resolve().parents[1] / "support"


def write_frame(root, name, seed, objects=2, fault=0):
    """Write one frame of 96x64 with its labels; `fault` is the green of the first pixel."""
    rng = np.random.default_rng(seed)
    image = np.repeat(rng.integers(90, 130, (64, 96, 1)), 3, axis=2)
    image[..., 0] += rng.integers(0, 60, (64, 96))
    labels = np.zeros((64, 96), np.uint8)
    for _ in range(objects):
        y, x = rng.integers(4, 36), rng.integers(4, 68)
        labels[y : y + 20, x : x + 22] = 1
    image[..., 0] += (labels == 1) * rng.integers(0, 110, (64, 96))
    labels[:3] = 255
    image[0, 0, 1] = fault
    for folder, array in (("images", image), ("labels_masks", labels)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(array.astype(np.uint8)).save(root / folder / f"{name}.png")
    return image.astype(np.uint8), labels


@pytest.fixture
def dataset_root(tmp_path):
    root = tmp_path / "street"
    for index in range(5):
        write_frame(root, f"f{index}", index, objects=0 if index == 3 else 2)
    return root


@pytest.fixture
def models(monkeypatch):
    """Make 'evaluation_models:Class' importable here and in child processes."""
    monkeypatch.syspath_prepend(str(SUPPORT))
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    yield "evaluation_models"
    sys.modules.pop("evaluation_models", None)
