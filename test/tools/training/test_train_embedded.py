"""The training as a user runs it, for a few steps on a drawn data set."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from objectomaly_ros.detectors.embedded import EmbeddedDetector
from tools.training.train_embedded import FROZEN_BLOCKS

SCRIPT = "tools.training.train_embedded"
SMALL = ["--batch", "2", "--crop", "64", "96", "--workers", "0", "--threads", "1"]


def train(data, work, *arguments):
    return subprocess.run(
        [sys.executable, "-m", SCRIPT, "--data", data, "--work", work, *SMALL, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    work = tmp_path_factory.mktemp("run")
    done = train(data, work, "--steps", "3")
    assert done.returncode == 0, done.stderr
    return work


def test_the_weights_load_and_the_figures_are_with_them(trained):
    detector = EmbeddedDetector(trained / "embedded.safetensors")
    score = detector.score(np.full((120, 160, 3), 90, np.uint8))
    assert score.shape == (120, 160)
    assert ((score >= 0) & (score <= 1)).all()
    assert detector.metadata["steps"] == 3
    assert 0 <= detector.metadata["dev_auprc"] <= 1
    assert set(detector.metadata["false_alarms_at_recall95"]) >= {"all", "ground", "car"}
    logged = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert logged[-1]["dev_fpr95"] == detector.metadata["dev_fpr95"]


def test_the_same_seed_gives_the_same_weights_and_another_does_not(trained, data, tmp_path):
    for name, seed in (("again", "1"), ("other", "2")):
        done = train(data, tmp_path / name, "--steps", "3", "--seed", seed)
        assert done.returncode == 0, done.stderr
    first, again, other = (
        load_file(folder / "embedded.safetensors")
        for folder in (trained, tmp_path / "again", tmp_path / "other")
    )
    for name, value in first.items():
        np.testing.assert_array_equal(again[name], value)
    assert any(not np.array_equal(other[name], value) for name, value in first.items())


def test_a_stopped_run_goes_on_where_it_was(trained, data, tmp_path):
    stopped = shutil.copytree(trained, tmp_path / "stopped")
    done = train(data, stopped, "--steps", "5", "--resume")
    assert done.returncode == 0, done.stderr
    assert EmbeddedDetector(stopped / "embedded.safetensors").metadata["steps"] == 5


def test_without_a_checkpoint_there_is_nothing_to_resume(data, tmp_path):
    done = train(data, tmp_path, "--steps", "2", "--resume")
    assert done.returncode != 0
    assert "no checkpoint" in done.stderr
    assert str(tmp_path) in done.stderr


def test_pretrained_blocks_and_statistics_stay_as_they_are(trained, data, tmp_path):
    first = trained / "embedded.safetensors"
    done = train(data, tmp_path, "--steps", "2", "--init", first, "--without", "paint")
    assert done.returncode == 0, done.stderr
    before, after = load_file(first), load_file(tmp_path / "embedded.safetensors")
    frozen = ("encoder.stem", *(f"encoder.blocks.{index}." for index in range(FROZEN_BLOCKS)))
    kept = [n for n in before if n.startswith(frozen) or ("encoder" in n and "running" in n)]
    assert len(kept) > 50
    for name in kept:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    learnt = [name for name in before if not np.array_equal(after[name], before[name])]
    assert any(name.startswith("encoder.blocks.14.") for name in learnt)
    assert any(name.startswith("output.") for name in learnt)


def test_frames_to_leave_out_must_be_known(data, tmp_path):
    """Without dev_extra its frames would be trained on, and the figures would be wrong."""
    for part in ("camvid", "ood_objects", "real_roads", "ood_objects_imagenet"):
        (tmp_path / part).symlink_to(data / part)
    done = train(tmp_path, tmp_path / "work", "--steps", "2")
    assert done.returncode != 0
    assert "dev_extra/images/*.jpg is missing" in done.stderr
