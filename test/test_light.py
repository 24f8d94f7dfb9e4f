"""The default profile works without the packages of the extras, and names what is missing."""

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.detectors import DETECTORS
from objectomaly_ros.masks import MASK_GENERATORS

ROOT = Path(__file__).resolve().parents[1]
WITHOUT_EXTRAS = str(ROOT / "test" / "support" / "without_extras")
LIGHT = {"embedded", "precomputed", "regions"}


def light_environment(also=""):
    """The environment of a process to which the packages of all extras are missing."""
    path = [WITHOUT_EXTRAS, str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "ALSO_WITHOUT": also}


def run(*arguments, also="", timeout=240):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=light_environment(also),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture
def street(tmp_path):
    """A folder with two images of a grey ground and a red box."""
    folder = tmp_path / "images"
    folder.mkdir()
    image = np.full((96, 128, 3), 120, np.uint8)
    image[40:70, 40:90] = (30, 40, 200)
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / name), image)
    return folder


def test_the_packages_are_gone_in_such_a_process():
    for package in ("torch", "segment_anything", "sklearn"):
        done = run("-c", f"import {package}")
        assert "ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize("also", ["", "rosbags"])
def test_refine_scores_and_refines_images(street, tmp_path, also):
    out = tmp_path / "out"
    done = run("-m", "objectomaly_ros", "refine", street, "--out", out, also=also)
    assert done.returncode == 0, done.stderr
    for name in ("a", "b"):
        with np.load(out / "scores" / f"{name}.npz") as file:
            (score,) = file.values()
        assert score.shape == (96, 128)
        assert np.isfinite(score).all()
        assert (out / "overlays" / f"{name}.jpg").is_file()


def test_evaluate_measures_the_default_models(street, tmp_path):
    root = tmp_path / "dataset"
    root.mkdir()
    street.rename(root / "images")
    labels = np.zeros((96, 128), np.uint8)
    labels[40:70, 40:90] = 1
    (root / "labels_masks").mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(root / "labels_masks" / name), labels)
    done = run("-m", "objectomaly_ros", "evaluate", root, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_bag_is_made_of_frames(street, tmp_path):
    done = run("-m", "objectomaly_ros.bags.make", street, tmp_path / "bag")
    assert done.returncode == 0, done.stderr
    with Bag(tmp_path / "bag") as bag:
        assert bag.count("/image") == 2


def test_checkpoints_are_listed():
    done = run("-m", "objectomaly_ros", "checkpoints", "list")
    assert done.returncode == 0, done.stderr
    assert "sam_vit_h" in done.stdout


MODELS = [("detector", name) for name in DETECTORS if name not in (*LIGHT, "semantic")]
MODELS += [("masks", name) for name in MASK_GENERATORS if name not in LIGHT]


def test_each_model_of_an_extra_is_named_with_it(street, tmp_path):
    """One process for all of them: the command's `main`, once a model."""
    program = (
        "import sys\nfrom objectomaly_ros.cli.main import main\n"
        f"for kind, name in {MODELS!r}:\n"
        f"    spec = [f'--{{kind}}', f'{{name}}={tmp_path}/weights.pth']\n"
        f"    assert main(['refine', {str(street)!r}, '--out', {str(tmp_path / 'out')!r}, *spec])\n"
    )
    done = run("-c", program)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == len(MODELS), done.stderr
    for (kind, name), line in zip(MODELS, lines, strict=True):
        who = f"{'detector' if kind == 'detector' else 'mask generator'} {name} needs "
        assert line.startswith(f"objectomaly refine: {who}"), line
        assert line.endswith("(in a checkout: make env PROFILE=paper)"), line


def test_a_command_of_an_extra_is_named_with_it(tmp_path):
    done = run("-m", "objectomaly_ros", "benchmark", "masks")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("objectomaly benchmark: the command needs torch, which is not installed")


@pytest.mark.parametrize(("also", "code"), [("onnxruntime", 0), ("scipy tqdm", 1)])
def test_the_doctor_needs_no_extra(also, code):
    done = run("-m", "objectomaly_ros", "doctor", "--json", also=also)
    assert done.returncode == code, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert "torch" not in document["packages"]
    (light,) = (row for row in document["findings"] if row["subject"] == "light")
    assert light["level"] == ("error" if code else "ok")
    assert all(name in light["found"] for name in also.split())


@pytest.mark.ros
def test_the_node_scores_and_refines_images(monkeypatch):
    pytest.importorskip("rclpy", reason="the node needs rclpy: run under scripts/env")
    import graph as g
    from domains import next_domain
    from objectomaly_ros.msg import RefinementStatus
    from sensor_msgs.msg import Image

    for name, value in light_environment("rosbags").items():
        monkeypatch.setenv(name, value)
    domain = next_domain()
    node = g.NodeProcess(
        domain,
        **{"detector.name": "embedded", "masks.name": "regions", "device": "auto"},
    )
    graph = g.Graph(domain)
    try:
        node.wait_log("active on cpu")
        scores = graph.listen(Image, f"{g.NODE}/score")
        statuses = graph.listen(RefinementStatus, f"{g.NODE}/status")
        publisher = graph.publisher("/image")
        stamps = itertools.count(1)

        def refined():
            publisher.publish(g.image_message(next(stamps), g.picture()))
            time.sleep(0.2)
            return statuses and statuses[-1].refined

        g.wait_for(refined, "a refined score")
        g.wait_for(lambda: scores, "a score")
        score = g.array_of(scores[-1])
        assert score.shape == g.picture().shape[:2]
        assert np.isfinite(score).all()
    finally:
        graph.close()
        node.close()


@pytest.mark.ros
def test_the_node_names_the_extra_of_a_model(monkeypatch):
    pytest.importorskip("rclpy", reason="the node needs rclpy: run under scripts/env")
    import graph as g
    from domains import next_domain

    for name, value in light_environment().items():
        monkeypatch.setenv(name, value)
    domain = next_domain()
    node = g.NodeProcess(domain, **{"detector.name": "rpl"})
    try:
        node.wait_log("configure failed: detector rpl needs torch, which is not installed: pip ")
    finally:
        node.close()


@pytest.mark.ros
def test_the_node_loads_no_slow_library_that_it_does_without():
    """`scipy.optimize` alone takes as long to load as all of the node."""
    pytest.importorskip("rclpy", reason="the node needs rclpy: run under scripts/env")
    slow = ["scipy.optimize", "scipy.ndimage", "scipy.spatial", "skimage", "rosbags", "PIL", "tqdm"]
    program = (
        "import sys, objectomaly_ros.ros.node\n"
        f"print([name for name in {slow} if name in sys.modules])"
    )
    done = run("-c", program)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.ros
@pytest.mark.parametrize("name", ["play_bag", "record_bag"])
def test_bag_commands_name_rosbags(name):
    pytest.importorskip("rclpy", reason="the commands need rclpy: run under scripts/env")
    done = run(ROOT / "scripts" / "nodes" / name, "--help", also="rosbags")
    assert done.returncode == 1
    assert done.stderr == (
        f"{name}: the command needs rosbags, which is not installed: pip install rosbags\n"
    )


def test_learn_and_calibrate_need_no_extra(tmp_path):
    from tiny_embedded import street, write_tiny_network

    weights = write_tiny_network(tmp_path / "tiny.onnx")
    drive = tmp_path / "drive"
    drive.mkdir()
    for index in range(6):
        cv2.imwrite(str(drive / f"{index}.png"), street(index)[..., ::-1])
    detector = f"embedded={weights},input_size=96"
    out = tmp_path / "normal.safetensors"
    command = ("-m", "objectomaly_ros", "learn", drive, "--detector", detector, "--out", out)
    done = run(*command, "--anyway")
    assert done.returncode == 0, done.stderr
    used = f"{detector},memory={out}"
    command = ("-m", "objectomaly_ros", "calibrate", drive, "--detector", used)
    done = run(*command, "--out", tmp_path / "found")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "found.yaml").is_file()


def test_bag_needs_no_extra(street, tmp_path):
    out = tmp_path / "out"
    done = run("-m", "objectomaly_ros", "bag", street, "--out", out, "--workers", "2")
    assert done.returncode == 0, done.stderr
    with Bag(out / "images") as bag:
        assert bag.count("/objectomaly/score/compressed") == 2
    assert (out / "index.html").is_file()
    assert "pip install pyarrow" in done.stdout
