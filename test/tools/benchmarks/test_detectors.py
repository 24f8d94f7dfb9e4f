"""The benchmark of detectors prints a row for each form; a failing detector stops no other."""

import json
import sys

import numpy as np
import pytest

from tools.benchmarks import detectors as bench_detectors
from tools.benchmarks.detectors import SLOW_S, Frame, _enough, _rows


@pytest.fixture
def run(monkeypatch):
    """Run the tool with arguments; return its exit code."""

    def go(*arguments):
        monkeypatch.setattr(sys, "argv", ["bench_detectors.py", *arguments])
        return bench_detectors.main()

    return go


@pytest.fixture
def without_processes(monkeypatch):
    """Answer for every form at once; the forms of uno fail."""

    def bench(name, device, shape, repeat):
        if name == "uno":
            raise bench_detectors.FormError("uno (plain) ended before it answered")
        frames = {form: [frame(1.0), frame(2.0)] for form in ("plain", "ours")}
        return _rows(name, device, frames)

    monkeypatch.setattr(bench_detectors, "bench", bench)


def frame(cpu_s, score=1.0):
    return Frame(cpu_s, cpu_s, None, 5.0, np.array([[0, score]], np.float32))


@pytest.mark.timeout(300)
def test_forms_are_measured_in_processes_of_their_own(run, capsys):
    assert run("--detector", "semantic", "--size", "96", "160", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["machine"]["frame"] == "96x160"
    assert [(row["detector"], row["form"]) for row in report["rows"]] == [
        ("semantic", "plain"),
        ("semantic", "ours"),
    ]
    for row in report["rows"]:
        assert row["wall_ms"] > 0
        assert 1 < row["memory_mb"] < 1000, "a form's memory is its own, not this process's"
        assert row["off"] == 0


@pytest.mark.timeout(300)
def test_a_form_that_dies_is_named(run, capsys):
    assert run("--detector", "embedded", "--device", "cuda:99", "--json") == 1
    said = capsys.readouterr()
    failed = json.loads(said.out)["failed"]
    assert failed == {"embedded": "embedded (plain) ended before it answered; its output is above"}
    assert "embedded (plain) ended" in said.err


def test_one_that_fails_stops_no_other(run, capsys, without_processes):
    assert run("--detector", "uno", "rba") == 1
    said = capsys.readouterr()
    assert "uno (plain) ended" in said.err
    assert "\nrba           plain " in said.out
    assert run("--detector", "uno", "rba", "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert list(report["failed"]) == ["uno"]
    assert [row["detector"] for row in report["rows"]] == ["rba", "rba"]


def test_what_was_measured_before_an_interruption_is_printed(run, capsys, monkeypatch):
    def bench(name, *_):
        if name == "uno":
            raise KeyboardInterrupt
        return _rows(name, "cpu", {"plain": [frame(1.0)]})

    monkeypatch.setattr(bench_detectors, "bench", bench)
    with pytest.raises(KeyboardInterrupt):
        run("--detector", "rba", "uno", "--json")
    assert [row["detector"] for row in json.loads(capsys.readouterr().out)["rows"]] == ["rba"]


def test_slow_detectors_run_once_and_quick_ones_often():
    slow, quick = frame(SLOW_S + 1), frame(0.3)
    assert not _enough([], 1)
    assert _enough([slow], 1)
    assert not _enough([slow], 3)
    assert _enough([slow] * 4, 3)
    assert not _enough([quick] * 4, 1)
    assert _enough([quick] * 7, 1)


def test_ratios_and_differences_are_against_the_plain_form():
    rows = _rows("rba", "cpu", {"plain": [frame(4.0)], "ours": [frame(2.0, score=0.5)]})
    assert [row.ratio for row in rows] == [1.0, 2.0]
    assert [row.off for row in rows] == [0.0, 0.25]
    assert [row.memory_mb for row in rows] == [5, 5]
