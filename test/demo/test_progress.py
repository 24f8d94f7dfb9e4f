"""A terminal gets bars, a pipe one line a stage."""

import io
import sys

import pytest

from objectomaly_ros.demo.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(progress):
    with progress.stage("rendering", 3, "frames") as bar:
        for _ in range(3):
            bar.update()
    with progress.stage("starting the node"):
        pass


def test_a_pipe_gets_one_line_a_stage(capsys):
    progress = Progress()
    run(progress)
    captured = capsys.readouterr()
    assert captured.out == "rendering: 3 frames\nstarting the node\n"
    assert captured.err == ""
    assert list(progress.seconds) == ["rendering", "starting the node"]


def test_a_terminal_gets_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    run(Progress())
    assert "100%" in terminal.getvalue()
    assert "3/3 frames" in terminal.getvalue()
    assert terminal.getvalue().count("\n") == 2


def test_a_stage_that_fails_is_not_counted():
    progress = Progress()
    with pytest.raises(RuntimeError), progress.stage("drawing"):
        raise RuntimeError
    assert progress.seconds == {}
