"""On a full disk a command ends with its exit code and one line, and leaves no partial file."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from objectomaly_ros.cli.main import main
from objectomaly_ros.detectors.score_files import read_score_map

ROOT = Path(__file__).resolve().parents[2]
REDNESS, TILES = "evaluation_models:Redness", "evaluation_models:Tiles"
REFINE = ["--detector", REDNESS, "--masks", TILES]


@pytest.fixture(autouse=True)
def models(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "test" / "support"))
    yield
    sys.modules.pop("evaluation_models", None)


@pytest.fixture
def street(tmp_path):
    """Ten noisy frames, whose scores do not compress."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels_masks"):
        (tmp_path / "street" / folder).mkdir(parents=True)
    for index in range(10):
        image = rng.integers(0, 255, (60, 80, 3), np.uint8)
        Pillow.fromarray(image).save(tmp_path / "street" / "images" / f"f{index}.png")
        labels = (rng.random((60, 80)) < 0.1).astype(np.uint8)
        Pillow.fromarray(labels).save(tmp_path / "street" / "labels_masks" / f"f{index}.png")
    return tmp_path / "street"


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def fill(folder, keep):
    """Fill the disk up to about `keep` bytes."""
    space = os.statvfs(folder)
    (folder / "filler").write_bytes(bytes(space.f_bavail * space.f_frsize - keep))


def lines(capfd):
    """Return the lines on stderr without the progress bar."""
    text = capfd.readouterr().err.replace("\r", "\n")
    return [line.strip() for line in text.splitlines() if line.startswith("objectomaly")]


def test_refine_stops_and_keeps_what_is_whole(street, small_disk, capfd):
    assert main(["refine", str(street / "images"), "--out", str(small_disk), *REFINE]) == 3
    (line,) = lines(capfd)
    assert f"cannot write {small_disk}" in line
    assert "no space left" in line
    assert "bytes are needed" in line
    scores = files(small_disk / "scores")
    assert 0 < len(scores) < 10
    assert all(read_score_map(path).shape == (60, 80) for path in scores)
    for path in files(small_disk / "overlays"):
        Pillow.open(path).load()


def test_refine_that_can_write_nothing_fails(street, small_disk, capfd):
    fill(small_disk, 0)
    assert main(["refine", str(street / "images"), "--out", str(small_disk / "a"), *REFINE]) == 1
    (line,) = lines(capfd)
    assert str(small_disk / "a") in line
    assert files(small_disk) == [small_disk / "filler"]


@pytest.mark.parametrize("suffix", ["npz", "npy", "png", "tif"])
def test_refine_within_a_limit_of_file_size(street, tmp_path, suffix):
    scores = tmp_path / "scores"
    scores.mkdir()
    score = np.random.default_rng(0).random((60, 80)).astype(np.float32)
    np.save(scores / "f0.npy", score)
    if suffix != "npy":
        from objectomaly_ros.detectors.score_files import write_score_map

        write_score_map(scores / f"f0.{suffix}", score)
        (scores / "f0.npy").unlink()
    program = (
        "import resource, signal, sys\n"
        "from objectomaly_ros.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "sys.exit(main(['refine', *sys.argv[1:]]))"
    )
    out = tmp_path / "out"
    arguments = [street / "images" / "f0.png", "--scores", scores, "--out", out, "--masks", TILES]
    path = os.pathsep.join([str(ROOT), str(ROOT / "test" / "support")])
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert f"cannot write {out / 'scores' / 'f0'}.{suffix}: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert files(out) == []


@pytest.mark.parametrize("workers", ["1", "2"])
def test_evaluate_says_that_its_cache_is_full(street, small_disk, capfd, monkeypatch, workers):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "test" / "support")]))
    options = ["--detectors", REDNESS, "--masks", TILES, "--workers", workers]
    assert main(["evaluate", str(street), *options, "--out", str(small_disk)]) == 1
    (line,) = lines(capfd)
    assert f"cannot write {small_disk / 'cache'}" in line
    for path in files(small_disk / "cache"):
        assert np.load(path)["score"].shape == (60, 80)


def test_evaluate_keeps_an_older_report(street, small_disk, capfd):
    (small_disk / "report.html").write_text("older")
    fill(small_disk, 20_000)
    for path in sorted((street / "images").iterdir())[2:]:
        path.unlink()
    options = ["--detectors", REDNESS, "--masks", "none", "--out", str(small_disk)]
    assert main(["evaluate", str(street), *options]) == 1
    (line,) = lines(capfd)
    assert f"cannot write {small_disk}" in line
    assert (small_disk / "report.html").read_text() == "older"
    assert {path.suffix for path in files(small_disk)} <= {".html", ".json", ".npz", ""}


def test_checkpoints_convert(tmp_path, small_disk, capfd):
    torch.save({"model": {"a": torch.rand(40_000)}}, tmp_path / "m.pth")
    target = small_disk / "m.safetensors"
    assert main(["checkpoints", "convert", str(tmp_path / "m.pth"), str(target)]) == 1
    (line,) = lines(capfd)
    assert str(small_disk) in line
    assert files(small_disk) == []


def test_a_full_standard_output():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "objectomaly_ros", "checkpoints", "list"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    reason = "cannot write to standard output: No space left on device"
    assert done.stderr == f"objectomaly checkpoints: {reason}\n"
