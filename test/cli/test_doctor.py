"""`objectomaly doctor` on the installation of the tests; test/ros has it on graphs."""

import json
import os

import pytest
from tiny_embedded import write_tiny_network

from objectomaly_ros import __version__
from objectomaly_ros.cli import doctor
from objectomaly_ros.cli.main import main
from objectomaly_ros.doctor import packages


@pytest.fixture
def few_packages(monkeypatch):
    """Leave out packages that take seconds to import."""
    names = packages.distributions()
    slow = {p.module for name in ("paper", "train") for p in packages.PROFILES[name]}
    few = {name: pip for name, pip in names.items() if name not in slow}
    monkeypatch.setattr(packages, "distributions", lambda: few)


def run(capsys, *arguments):
    code = main(["doctor", *arguments])
    return code, capsys.readouterr().out


def test_an_installation_that_works(capsys, few_packages, tmp_path):
    weights = write_tiny_network(tmp_path / "tiny.onnx")
    code, text = run(capsys, "--detector", f"embedded={weights},input_size=64", "--json")
    document = json.loads(text)
    assert code == 0, text
    assert document["ok"]
    assert document["version"] == __version__
    assert document["packages"]["numpy"]
    areas = {row["area"] for row in document["findings"]}
    assert {"Packages", "Profiles", "Machine", "Models"} <= areas
    levels = {row["level"] for row in document["findings"]}
    assert levels <= {"ok", "warning"}


def test_what_does_not_work_ends_with_1(capsys, few_packages, tmp_path):
    detector = ["--detector", f"embedded={tmp_path / 'none.onnx'}"]
    code, text = run(capsys, *detector, "--memory", str(tmp_path / "none"), "--profile", "paper")
    assert code == 1
    assert "no checkpoint" in text
    assert "pip install 'objectomaly_ros[paper]'" in text
    assert text.endswith(" warnings\n") or text.endswith(" warning\n")
    assert "\033" not in text


def test_wrong_usage(capsys):
    for wrong in (["--profile", "nothing"], ["--seconds", "0"]):
        with pytest.raises(SystemExit) as stop:
            main(["doctor", *wrong])
        assert stop.value.code == 2


def test_a_graph_without_ros_is_told(capsys, monkeypatch):
    monkeypatch.setitem(doctor.sys.modules, "objectomaly_ros.ros.graph_observer", None)
    code, text = run(capsys, "--graph", "--json")
    assert code == 1
    assert "needs ROS and this package's messages" in json.loads(text)["findings"][-1]["found"]


def test_a_user_without_a_home_and_a_wrong_detector_are_findings(capsys, few_packages, monkeypatch):
    for name in ("OBJECTOMALY_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 5)  # which is in no passwd
    code, text = run(capsys, "--detector", "=x", "--json")
    assert code == 1
    levels = {row["subject"]: row["level"] for row in json.loads(text)["findings"]}
    assert levels["--detector"] == "error"
    assert levels["cache"] == "warning"
