"""No file of the working folder runs in the place of a module."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

ROOT = Path(__file__).resolve().parents[2]
POISON = "import pathlib, sys\npathlib.Path(__file__).with_suffix('.ran').touch()\n"
# Imports of the package: from other packages and from the standard library.
NAMES = ("cv2", "numpy", "tqdm", "typing", "argparse", "pkgutil")


@pytest.fixture
def folder(tmp_path):
    """A working folder full of poisoned modules, and a dataset."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(POISON)
    rng = np.random.default_rng(0)
    for part, high in (("images", 255), ("labels_masks", 2)):
        (tmp_path / "street" / part).mkdir(parents=True)
        for name in ("a", "b"):
            shape = (40, 56, 3) if part == "images" else (40, 56)
            picture = rng.integers(0, high, shape, np.uint8)
            Pillow.fromarray(picture).save(tmp_path / "street" / part / f"{name}.png")
    return tmp_path


def run(command, folder):
    """Run a command in the folder; return its process and the poisoned modules that ran."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "test" / "support")])
    environment = {**os.environ, "PYTHONPATH": path}
    environment.pop("PYTHONSAFEPATH", None)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done, sorted(path.stem for path in folder.glob("*.ran"))


MODELS = ["evaluation_models:Redness", "--masks", "evaluation_models:Tiles"]
COMMANDS = {
    "refine": ["refine", "street/images", "--out", "out", "--detector", *MODELS],
    "evaluate": ["evaluate", "street", "--out", "out", "--detectors", *MODELS],
    "evaluate with workers": [
        *["evaluate", "street", "--out", "out", "--workers", "2", "--detectors"],
        *MODELS,
    ],
}


@pytest.mark.parametrize("how", ["module", "script"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs_nothing_of_the_working_folder(folder, command, how):
    script = [str(ROOT / "scripts" / "nodes" / "objectomaly")]
    start = ["-m", "objectomaly_ros"] if how == "module" else script
    done, ran = run([sys.executable, *start, *COMMANDS[command]], folder)
    assert done.returncode == 0, done.stderr
    assert ran == []


def test_the_poison_works(folder):
    done, ran = run([sys.executable, "-m", "cv2"], folder)
    assert done.returncode == 0, done.stderr
    assert ran == ["cv2"]


def test_the_environment_keeps_the_working_folder_out(folder):
    if not list(ROOT.glob("install/*/stamp")):
        pytest.skip("scripts/env has no environment yet (make env)")
    done, ran = run([str(ROOT / "scripts" / "env"), "python", "-c", "import cv2, typing"], folder)
    assert done.returncode == 0, done.stderr
    assert ran == []


def test_a_package_in_the_working_folder_is_found(tmp_path):
    (tmp_path / "objectomaly_ros").symlink_to(ROOT / "objectomaly_ros")
    command = [sys.executable, "-m", "objectomaly_ros", "checkpoints", "list"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    environment["PYTHONPATH"] = ""
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "sam_vit_h" in done.stdout


def test_a_users_module_that_is_not_found_says_how_to_name_it(folder):
    (folder / "mine.py").write_text(POISON)
    command = ["refine", "street/images", "--out", "out", "--detector", "mine:Detector"]
    done, ran = run([sys.executable, "-m", "objectomaly_ros", *command], folder)
    assert done.returncode == 1
    assert "no module 'mine'; name the folder that holds it in PYTHONPATH" in done.stderr
    assert ran == []
