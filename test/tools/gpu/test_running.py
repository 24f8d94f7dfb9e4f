"""Tasks are done once, failures are repeated, and the time is kept."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from objectomaly_ros.benchmark.masks import Result
from objectomaly_ros.detectors.embedded import TORCH_WEIGHTS, WEIGHTS
from tools.gpu import plan, running, sam
from tools.gpu.rows import Budget, Row, Settings, Task
from tools.gpu.worker import TaskError, Worker

ROOT = Path(__file__).resolve().parents[3]
MODULE = "gpu_tasks"
TASKS = [Task("speed", name, "float32", 1.0) for name in ("rba", "uno", "rpl")]


def task(form):
    return Task("speed", "rba", form, 1.0)


@pytest.fixture
def settings(tmp_path):
    return Settings("cpu", True, tmp_path)


@pytest.fixture
def fake(monkeypatch):
    """A worker in this process; returns what it was asked, and by subject what ends a task."""

    class Fake:
        def __init__(self):
            self.asked, self.times, self.ends = [], [], {}

        def run(self, module, task, settings, seconds, limit):
            self.asked.append(task.subject)
            self.times.append((seconds, limit))
            yield Row(task.subject, task.form, figures={"median ms": float("nan")})
            if task.subject in self.ends:
                raise self.ends[task.subject]

        def close(self):
            pass

    worker = Fake()
    monkeypatch.setattr(running, "Worker", lambda: worker)
    return worker


def run(settings, seconds=60.0, machine=None):
    return running.run(TASKS, settings, seconds, machine or {"device": "a CPU"}, lambda text: None)


def test_what_is_done_is_not_repeated(fake, settings):
    first = run(settings)
    assert [outcome.state for outcome in first] == ["done"] * 3
    second = run(settings)
    assert fake.asked == ["rba", "uno", "rpl"]
    assert all(outcome.again for outcome in second)
    assert [row.subject for outcome in second for row in outcome.rows] == fake.asked


def test_a_failure_ends_no_other_and_is_repeated(fake, settings):
    fake.ends["uno"] = TaskError("OutOfMemoryError: CUDA out of memory")
    outcomes = run(settings)
    assert [outcome.state for outcome in outcomes] == ["done", "failed", "done"]
    measured, failed = outcomes[1].rows
    assert measured.figures
    assert failed.problem == "OutOfMemoryError: CUDA out of memory"
    fake.ends.clear()
    assert [outcome.state for outcome in run(settings)] == ["done"] * 3
    assert fake.asked == ["rba", "uno", "rpl", "uno"]


def test_an_interrupted_run_goes_on(fake, settings):
    fake.ends["uno"] = KeyboardInterrupt()
    outcomes = run(settings)
    assert [outcome.state for outcome in outcomes] == ["done", "left", "left"]
    assert "interrupted; start it again to go on" in outcomes[2].rows[0].problem
    fake.ends.clear()
    run(settings)
    assert fake.asked == ["rba", "uno", "uno", "rpl"]


def test_spent_time_leaves_tasks(fake, settings):
    outcomes = run(settings, seconds=0.0)
    assert fake.asked == []
    assert [outcome.state for outcome in outcomes] == ["left"] * 3
    assert "the 0 s were spent" in outcomes[0].rows[0].problem


def test_the_time_is_shared_by_weight_and_the_last_task_is_not_ended_within_its_share(
    fake, settings
):
    run(settings, seconds=300.0)
    shares, limits = zip(*fake.times, strict=True)
    assert shares == pytest.approx([95.0, 142.5, 285.0], rel=0.02)  # nothing was spent
    assert limits == pytest.approx([285.0, 300.0, 300.0], rel=0.02)
    assert all(limit > share for share, limit in fake.times)


def test_other_inputs_and_damaged_files_are_measured_again(fake, settings, monkeypatch):
    run(settings)
    (settings.out / "tasks" / "speed-uno-float32.json").write_text("{")
    run(settings)
    assert fake.asked[3:] == ["uno"]
    run(settings, machine={"device": "another"})
    assert fake.asked[4:] == ["rba", "uno", "rpl"]
    monkeypatch.setattr(plan, "_content", lambda path: b"changed")
    run(settings, machine={"device": "another"})
    assert fake.asked[7:] == ["rba", "uno", "rpl"]


def test_results_depend_on_weights(settings, monkeypatch):
    there = set()
    monkeypatch.setattr(plan.models, "published", lambda name: name in there)
    node = Task("node", "CAS beside SAM", "engine", 1.0)
    before = plan.inputs(node, settings, {})
    there.add("sam_vit_h")
    assert plan.inputs(node, settings, {}) != before
    read = []
    monkeypatch.setattr(plan, "_content", lambda path: read.append(path) or b"")
    plan.inputs(Task("embedded", "embedded", "", 1.0), settings, {})
    assert {WEIGHTS, TORCH_WEIGHTS} < {*read}


def test_masks_without_the_official_ones_are_measured_again(settings, monkeypatch):
    found = Result()
    found.add({"encoder": 0.1, "decoder": 0.1, "post_processing": 0.1})
    found.masks = np.ones((2, 4, 4), bool)
    monkeypatch.setattr(sam, "_repeat", lambda *_: (found, 1.0))
    rows = sam.measure(Task("sam", "sam_vit_b", "float32", 1.0), settings, Budget(1.0))
    assert next(rows).figures["masks"] == 2
    with pytest.raises(RuntimeError, match="not compared"):
        next(rows)


def test_files_are_json_without_nan(fake, settings):
    run(settings)
    text = (settings.out / "tasks" / "speed-rba-float32.json").read_text()
    refuse = lambda name: pytest.fail(f"{name} is no JSON")  # noqa: E731
    assert json.loads(text, parse_constant=refuse)["rows"][0]["figures"] == {"median ms": None}


def test_a_worker_outlives_its_tasks(settings):
    worker = Worker()

    def rows(form, limit=60.0):
        return [row.form for row in worker.run(MODULE, task(form), settings, 2.0, limit)]

    try:
        assert rows("fine") == ["before", "after"]
        for form, said in (
            ("raises", "RuntimeError: no kernel image"),
            ("dies", r"its process died \(exit code 7"),
        ):
            with pytest.raises(TaskError, match=said):
                rows(form)
            assert rows("fine") == ["before", "after"]
        began = time.monotonic()
        with pytest.raises(TaskError, match="ended after 1 s"):
            rows("hangs", limit=1.0)
        assert time.monotonic() - began < 60
        assert rows("fine") == ["before", "after"]
    finally:
        worker.close()


def test_a_worker_ends_with_a_killed_run():
    program = (
        "import os, pathlib, signal; from tools.gpu.rows import Settings, Task; "
        "from tools.gpu.worker import Worker\n"
        "if __name__ == '__main__':\n"
        "    settings = Settings('cpu', True, pathlib.Path())\n"
        "    task = Task('speed', 'rba', 'hangs', 1.0)\n"
        "    worker = Worker()\n"
        "    for row in worker.run('gpu_tasks', task, settings, 1.0, 60.0):\n"
        "        print(worker._process.pid, flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    folders = [str(ROOT), str(ROOT / "test" / "support")]
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    deadline = time.monotonic() + 60
    while Path(f"/proc/{int(done.stdout)}").exists():
        assert time.monotonic() < deadline, "the worker runs on"
        time.sleep(0.1)
