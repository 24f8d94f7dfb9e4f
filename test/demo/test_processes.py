"""Children are watched, their logs shown, and none stays behind."""

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from objectomaly_ros.demo.processes import ChildError, Children


@pytest.fixture
def module(tmp_path):
    """Write a Python module that a child can run; return its name and the environment."""

    def write(text):
        (tmp_path / "child_to_run.py").write_text(text)
        return "child_to_run", {**os.environ, "PYTHONPATH": str(tmp_path)}

    return write


def _gone(pid):
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


def test_a_child_that_fails_is_reported_with_the_end_of_its_log(module, tmp_path):
    name, env = module("print('loading');\nraise SystemExit('no checkpoint at /x; run make it')")
    with Children(tmp_path, env) as children:
        child = children.start("node", name)
        with pytest.raises(ChildError, match="no checkpoint at /x; run make it") as caught:
            children.wait(60, running=[child])
    assert "node ended with status 1" in str(caught.value)


def test_leaving_ends_children_and_grandchildren(module, tmp_path):
    name, env = module(
        "import subprocess, sys, time, signal\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "grandchild = subprocess.Popen([sys.executable, '-c', 'import signal, time;'\n"
        "    'signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)'])\n"
        "print(grandchild.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with suppress(KeyboardInterrupt), Children(tmp_path, env) as children:
        child = children.start("stubborn", name)
        for _ in range(300):
            if child.log.read_text().strip():
                break
            time.sleep(0.1)
        pid = int(child.log.read_text())
        raise KeyboardInterrupt
    assert child.status is not None
    assert _gone(pid)


def test_a_child_that_ends_when_asked_keeps_its_status(module, tmp_path):
    name, env = module(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, lambda *_: sys.exit(0))\n"
        "print('up', flush=True)\n"
        "time.sleep(600)\n"
    )
    with Children(tmp_path, env) as children:
        child = children.start("polite", name)
        while "up" not in child.log.read_text():
            time.sleep(0.05)
        assert child.stop() == 0
