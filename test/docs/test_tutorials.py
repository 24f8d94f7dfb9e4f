"""The commands of the tutorials work, as they stand there, and make the files that they promise."""

import contextlib
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml
from domains import next_domain

from objectomaly_ros.bags.reader import Bag

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(path for path in (ROOT / "docs" / "tutorials").glob("*.md") if path.stem != "index")
PATIENCE_S = 200.0  # other programs run on the same cores
BLOCK = re.compile(
    r"^<!-- (run|file|makes)(?:: (.*?))? -->\n(?:```(\w+)\n(.*?)^```$)?", re.MULTILINE | re.DOTALL
)


class Step(NamedTuple):
    """A block to run (needs: ros, ray or nothing), a file to write, or files that must be there."""

    kind: str
    argument: str
    language: str
    code: str


def steps_of(text):
    return [Step(*match.groups("")) for match in BLOCK.finditer(text)]


def run(step, folder):
    """Run a block as a reader would, in the environment of scripts/env."""
    first = [str(ROOT / "scripts" / "nodes"), str(Path(sys.executable).parent)]
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([*first, os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path[1:])]),
        "ROS_DOMAIN_ID": str(next_domain()),
        "OMP_NUM_THREADS": "1",
    }
    command = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    said = folder / "said.txt"
    with said.open("w") as output:
        process = subprocess.Popen(
            [*command[step.language], step.code],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            code = process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            code = "none in time"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)  # what a block that failed left behind
    assert code == 0, f"{step.code}\nexit code {code}\n{said.read_text()}"


def follow(page, folder, needs):
    """Run the steps of a page that need `needs`, and look for their files."""
    running = False
    for step in steps_of(page.read_text()):
        if step.kind == "run":
            running = step.argument == needs
            if running:
                run(step, folder)
        elif step.kind == "file":
            (folder / step.argument).write_text(step.code)
        elif running:
            missing = [name for name in step.argument.split() if not (folder / name).exists()]
            assert missing == [], page.name


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory, drives):
    """Return the folder in which a page was followed, as far as it needs neither ROS nor Ray."""
    folders = {}

    def follow_once(name):
        page = ROOT / "docs" / "tutorials" / f"{name}.md"
        if name not in folders:
            folder = folders[name] = tmp_path_factory.mktemp(name)
            for source in (*drives.iterdir(), ROOT / "config"):
                (folder / source.name).symlink_to(source)
            follow(page, folder, "")
        return page, folders[name]

    return follow_once


@pytest.fixture
def followed_with_ros(folder_of):
    pytest.importorskip("rclpy", reason="the node needs ROS: run under scripts/env")

    def follow_all(name):
        page, folder = folder_of(name)
        follow(page, folder, "ros")
        return folder

    return follow_all


def test_every_tutorial_has_commands_that_run():
    assert len(PAGES) == 5
    for page in PAGES:
        steps = steps_of(page.read_text())
        assert [step for step in steps if step.kind == "run"], page.name
        assert [step for step in steps if step.kind == "makes"], page.name
        assert {step.argument for step in steps if step.kind == "run"} <= {"", "ros", "ray"}
        needs = [step.argument for step in steps if step.kind == "run"]
        assert needs == sorted(needs, key=bool), f"{page.name}: first what needs nothing"


def counts(bag):
    with Bag(bag) as opened:
        return {topic.name: topic.count for topic in opened.topics.values()}


def messages(bag, topic):
    with Bag(bag) as opened:
        return [opened.decode(message) for message in opened.messages([topic])]


@pytest.mark.ros
@pytest.mark.timeout(600)
def test_first_drive(followed_with_ros):
    folder = followed_with_ros("first_drive")
    assert counts(folder / "first_drive" / "drive")["/image"] == 10


def test_your_camera(folder_of):
    _, folder = folder_of("your_camera")
    parameters = yaml.safe_load((folder / "mine.yaml").read_text())["/**"]["ros__parameters"]
    (memory,) = parameters["detector.options"]
    path = memory.removeprefix("memory=").strip('"')
    assert Path(path) == folder / "normal.safetensors"  # for a node that starts elsewhere
    assert 0 < parameters["threshold.high"] <= 1


@pytest.mark.ros
@pytest.mark.timeout(600)
def test_your_camera_in_the_node(followed_with_ros):
    seen = counts(followed_with_ros("your_camera") / "seen")
    assert seen["/objectomaly/mask"] > 0
    assert seen["/objectomaly/obstacles"] > 0


@pytest.mark.ros
@pytest.mark.timeout(600)
def test_the_obstacle_is_in_the_costmap_of_nav2(followed_with_ros):
    from nav2_models import LayerSource, ObstacleLayer

    folder = followed_with_ros("nav2")
    clouds = folder / "clouds"
    assert any(status.healthy for status in messages(clouds, "/objectomaly/status"))
    config = yaml.safe_load((folder / "my_nav2.yaml").read_text())
    layer = config["local_costmap"]["local_costmap"]["ros__parameters"]["obstacle_layer"]
    sources = {
        name: LayerSource(**{key: value for key, value in layer[f"objectomaly_{name}"].items()
                             if key not in ("topic", "data_type")})
        for name in ("points", "free")
    }  # fmt: skip
    costmap = ObstacleLayer(sources, origin=(-2.0, -4.0), size=(40.0, 8.0))
    found = messages(clouds, "/objectomaly/obstacles")
    near = [m.header.stamp for m in found if any(one.range < 18 for one in m.obstacles)]
    assert near, "no obstacle was found"
    for cloud in messages(clouds, "/objectomaly/points"):
        if cloud.header.stamp in near:
            costmap.sources["points"].take(cloud, (0.0, 0.0, 0.0), 0.0)
            costmap.update()
    assert costmap.has_obstacle((2.0, -3.0), (20.0, 3.0))


def test_your_detector(folder_of):
    _, folder = folder_of("your_detector")
    assert len(list((folder / "refined" / "scores").iterdir())) == 6
    coarse = np.load(next((folder / "scores").iterdir()))
    refined = np.load(next((folder / "refined" / "scores").glob("*.npy")))
    assert refined.shape == coarse.shape
    report = (folder / "report" / "report.html").read_text()
    assert "OASC" in report


@pytest.mark.ros
@pytest.mark.timeout(600)
def test_your_detector_in_the_node(followed_with_ros):
    seen = messages(followed_with_ros("your_detector") / "refined_live", "/objectomaly/score")
    assert seen
    assert seen[-1].encoding == "32FC1"


def test_fleet(folder_of):
    _, folder = folder_of("fleet")
    assert counts(folder / "results" / "monday")["/objectomaly/score/compressed"] == 6


@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="fleets need Ray: pip install 'objectomaly_ros[fleet]'",
)
def test_fleet_on_ray(folder_of, monkeypatch, tmp_path):
    page, folder = folder_of("fleet")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", f"--port={port}",
               "--block", "--num-cpus=1", "--include-dashboard=false", "--disable-usage-stats",
               "--object-store-memory=80000000"]  # fmt: skip
    with (tmp_path / "log").open("w") as log:
        cluster = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        while "Ray runtime started" not in (tmp_path / "log").read_text():
            assert cluster.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.2)
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
        follow(page, folder, "ray")
    finally:
        os.killpg(cluster.pid, signal.SIGTERM)
        cluster.wait()
