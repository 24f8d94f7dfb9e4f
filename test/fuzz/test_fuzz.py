"""A short run of every target of the fuzzer, and planted bugs that it must find."""

import functools
import importlib.util
import json
from dataclasses import replace
from random import Random

import planted_bugs
import pytest

from tools.fuzz import __main__ as command
from tools.fuzz.mutations import damage_any
from tools.fuzz.worker import MB, Limits, Target, Worker, preload

HAS_ROS = importlib.util.find_spec("rclpy") is not None
FILES = [*command.HOMES["messages"], *command.HOMES["files"]]
NODES = [
    pytest.param(
        name,
        marks=[pytest.mark.ros, pytest.mark.skipif(not HAS_ROS, reason="the node needs rclpy")],
    )
    for name in command.HOMES["node"]
]
ODD = {
    "node": "FailsOnOthers", "node_compressed": "EndsOnOthers",
    "parameters": "EndsAtWrongParameters", "transitions": "EndsAtCleanup",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def preloaded():
    preload([command.find_target(name) for name in FILES])


@pytest.mark.parametrize("name", FILES + NODES)
def test_nothing_is_found(name):
    target = command.find_target(name)
    tally = command.fuzz(target, "7", seconds=1.0, cases=100, findings=1)
    assert not tally.findings, tally.findings[0].text
    assert tally.counts["accepted"] + tally.counts["refused"] == tally.cases > 0


@pytest.mark.parametrize("name", FILES)
def test_a_handler_that_lets_errors_out_is_found(name):
    target = command.find_target(name)
    bad = replace(target, use=functools.partial(planted_bugs.careless, target.use))
    tally = command.fuzz(bad, "7", seconds=60, findings=1)
    assert "KeyError: 'planted'" in tally.findings[0].text
    assert "planted_bugs.py" in tally.findings[0].place


@pytest.mark.parametrize("name", NODES)
def test_a_bad_node_is_found(name):
    from tools.fuzz.node import targets

    detector = f"planted_bugs:{ODD[name]}"
    target = next(target for target in targets(detector) if target.name == name)
    tally = command.fuzz(target, "7", seconds=60, findings=1)
    words = "images received" if ODD[name] == "FailsOnOthers" else "the node ended with code 3"
    assert words in tally.findings[0].text


def worker_with(use):
    return Worker(
        Target("planted", planted_bugs.small_input, use, (ValueError,)), Limits(0.5, 60.0, 60 * MB)
    )


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (planted_bugs.crashes, "the process ended: SIGSEGV"),
        (planted_bugs.hangs, "took more than 0.5 s"),
        (planted_bugs.takes_memory, "took "),
        (planted_bugs.takes_endless_memory, "took more than 60 MB"),
        (planted_bugs.says_nothing, "ValueError: no"),
        (planted_bugs.raises_a_subclass, "UnicodeDecodeError"),
        (planted_bugs.leaves_a_file, "touched tmp/left"),
        (planted_bugs.changes_its_input, "touched case/input"),
        (planted_bugs.writes_elsewhere, "touched open("),
        (planted_bugs.runs_a_command, "touched subprocess.Popen("),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_whatever_a_handler_does_wrong_is_found(use, words):
    worker = worker_with(use)
    try:
        for _ in range(2):  # also by the next worker
            outcome = worker.run("a seed")
            assert outcome.verdict == "finding"
            assert words in outcome.text
            assert outcome.given == planted_bugs.small_input(Random("a seed"))
    finally:
        worker.close()


@pytest.mark.parametrize("name", ["bags", "checkpoints", "scores"])
def test_inputs_come_from_the_seed_alone(name):
    found = []
    for _ in range(2):
        worker = Worker(replace(command.find_target(name), use=planted_bugs.nothing), Limits())
        try:
            found.append([worker.run(f"seed {number}").given for number in range(8)])
        finally:
            worker.close()
    assert found[0] == found[1]
    assert found[0][0] != found[0][1]


def test_damage_is_of_many_kinds():
    data = bytes(range(100)) + b'{"width": 17}'
    found = {damage_any(data, Random(number)) for number in range(200)}
    assert len(found) > 150
    assert min(map(len, found)) < len(data) < max(map(len, found))
    assert data in found


def test_the_command_keeps_findings_and_replays_them(tmp_path, monkeypatch, capsys):
    target = command.find_target("scores")
    bad = replace(target, use=functools.partial(planted_bugs.careless, target.use))
    monkeypatch.setattr(command, "find_target", lambda name: bad)
    arguments = ["--only", "scores", "--minutes", "0.01", "--out", str(tmp_path)]
    assert command.main(arguments) == 1
    assert "scores" in capsys.readouterr().out.splitlines()[-1]
    kept = sorted(tmp_path.iterdir())
    assert 1 <= len(kept) <= command.KEPT
    assert command.main(["--replay", str(kept[0])]) == 1
    assert "KeyError: 'planted'" in capsys.readouterr().out
    monkeypatch.setattr(command, "find_target", lambda name: target)
    assert command.main(["--replay", str(kept[0])]) == 0
    assert json.loads(kept[0].read_text())["target"] == "scores"


def test_the_command_is_content_without_findings(tmp_path, capsys):
    assert command.main(["--only", "images", "--minutes", "0.01", "--out", str(tmp_path)]) == 0
    assert not list(tmp_path.iterdir())
