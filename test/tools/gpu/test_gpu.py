"""`make gpu` on tiny networks: every step runs, and the JSON and the page tell what it was."""

import json
import re
import sys

import pytest

from objectomaly_ros.models import devices
from tools.gpu import __main__ as command
from tools.gpu.plan import STEPS


@pytest.fixture
def run(monkeypatch):
    """Run the command; return its exit code."""
    monkeypatch.setenv("TORCH_COMPILE_DISABLE", "1")  # --tiny sets it: so it is set back
    monkeypatch.setenv("OBJECTOMALY_CACHE", "/nowhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of the worker: threads cost tiny networks more

    def go(*arguments):
        monkeypatch.setattr(sys, "argv", ["gpu", *arguments])
        return command.main()

    return go


@pytest.mark.timeout(1200)  # half a minute of a core, but other programs may run
def test_every_step_runs_on_tiny_networks(run, tmp_path, capsys):
    code = run("--tiny", "--device", "cpu", "--out", str(tmp_path))
    said = capsys.readouterr()
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert [row for row in report["rows"] if row["problem"]] == []
    assert [row for row in report["rows"] if row["holds"] is False] == []
    assert code == 0, said
    assert {row["step"] for row in report["rows"]} == set(STEPS)
    assert {task["state"] for task in report["tasks"]} == {"done"}
    assert {goal["state"] for goal in report["goals"]} == {"not measured"}
    assert "tiny networks on a CPU" in report["verdict"][0]
    measured = [row for row in report["rows"] if row["figures"] and row["step"] != "refinement"]
    of_package = {row["subject"] for row in measured if row["weights"] == "package"}
    assert of_package == {"embedded"}
    assert {row["weights"] for row in measured} == {"package", "stand-in"}

    page = (tmp_path / "index.html").read_text()
    assert report["verdict"][0] in page
    assert not re.search(r"(src|href)=|@import|url\(", page), "the page needs another file"
    for title in (step.title for step in STEPS.values()):
        assert f"<h2>{title}</h2>" in page

    by_form = {(row["subject"], row["form"]): row["figures"] for row in report["rows"]}
    exact = by_form["sam_vit_b", "float32"]
    assert exact["masks"] == by_form["sam_vit_b", "official"]["masks"] > 3
    assert exact["IoU"] == 1
    assert by_form["sam2_hiera_tiny", "float32"]
    assert by_form["engine without ROS", "CAS beside SAM"]["refined"] > 0
    assert by_form["mask2anomaly", "bfloat16, compiled"]["median ms"] > 0

    assert run("--tiny", "--device", "cpu", "--out", str(tmp_path)) == 0
    assert f"{len(report['tasks'])} of {len(report['tasks'])} tasks" in capsys.readouterr().err


def test_without_cuda_it_says_how_to_try_it(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(devices, "has_cuda", lambda: False)
    assert run("--out", str(tmp_path / "out")) == 2
    assert "python -m tools.gpu --tiny" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_unknown_words_are_refused(run, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        run("--tiny", "--device", "cpu", "--out", str(tmp_path), "--only", "sam", "nothing")
    assert stop.value.code == 2
    assert "no task has the words sam nothing" in capsys.readouterr().err
