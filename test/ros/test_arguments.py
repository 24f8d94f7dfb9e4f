"""--help and --version of the nodes print and end, without a graph."""

import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="the nodes need rclpy: run under scripts/env")

from objectomaly_ros import __version__
from objectomaly_ros.ros.camera import OUTPUTS
from objectomaly_ros.ros.parameters import BY_NAME

pytestmark = pytest.mark.ros

NODES = {"refine_node": "refine_node", "play_bag": "play_bag", "record_bag": "recorder"}


def run(node, *arguments):
    command = [sys.executable, "-m", f"objectomaly_ros.ros.{NODES[node]}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


@pytest.mark.parametrize("node", NODES)
def test_version_is_printed(node):
    done = run(node, "--version")
    assert (done.returncode, done.stdout) == (0, f"{node} {__version__}\n")


@pytest.mark.parametrize("node", NODES)
def test_help_is_printed(node):
    done = run(node, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: {node}")


def test_help_of_the_node_names_topics_and_parameters():
    text = run("refine_node", "-h", "--ros-args", "-p", "device:=cpu").stdout
    assert [name for name in OUTPUTS if f"~/{name} " not in text] == []
    assert {"image", "camera_info"} <= set(text.split())
    assert len([name for name in BY_NAME if f"\n  {name} " in text]) > 10


@pytest.mark.parametrize(
    "arguments", [["--nonsense"], ["--ros-args", "-p", "device:=cpu", "--", "nonsense"]]
)
def test_unknown_arguments_of_the_node_are_refused(arguments):
    done = run("refine_node", *arguments)
    assert done.returncode == 2
    assert "unrecognized arguments" in done.stderr
    assert "nonsense" in done.stderr
