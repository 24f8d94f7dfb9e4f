"""Runs the tasks that are not done yet within the time, and keeps each result as a file."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from objectomaly_ros.files.writing import open_replacing
from tools.gpu.plan import STEPS, inputs
from tools.gpu.rows import Row, Settings, Task
from tools.gpu.worker import TaskError, Worker

DONE, FAILED, LEFT = "done", "failed", "left"

_LONGEST = 3.0
"""A task is ended after this many times its share of the time, and not before `_LEAST_S`."""
_LEAST_S = 30.0
_RESERVE = 0.05
"""This share of the time is kept back, so that a task that uses its share is not ended."""


@dataclass(frozen=True)
class Outcome:
    """How a task fared.

    Attributes:
        task: the task.
        state: "done", "failed", or "left" if the time was spent before it began.
        rows: its results; of a failed task the last one says why.
        seconds: that it took.
        again: it was done in an earlier run.
    """

    task: Task
    state: str
    rows: list[Row]
    seconds: float = 0.0
    again: bool = False


def run(
    tasks: list[Task],
    settings: Settings,
    seconds: float,
    machine: Mapping[str, object],
    say: Callable[[str], None],
) -> list[Outcome]:
    """Run what is not done yet; return the outcome of every task, in their order.

    Args:
        tasks: all tasks.
        settings: of the run.
        seconds: for this run.
        machine: what results depend on besides the sources.
        say: takes lines of progress.
    """
    digests = {task: inputs(task, settings, dict(machine)) for task in tasks}
    outcomes = {task: _read(task, settings, digests[task]) for task in tasks}
    pending = [task for task, outcome in outcomes.items() if outcome is None]
    if len(pending) < len(tasks):
        say(f"{len(tasks) - len(pending)} of {len(tasks)} tasks are done already")
    end, worker, why = time.monotonic() + seconds, Worker(), f"the {seconds:g} s were spent"
    try:
        for number, task in enumerate(pending):
            left = end - time.monotonic()
            if left <= 0:
                break
            say(f"[{number + 1}/{len(pending)}, {left:.0f} s left] {task.step}: {task.subject} "
                f"{task.form}".rstrip())  # fmt: skip
            weight = task.seconds / sum(other.seconds for other in pending[number:])
            share = max(0.0, left - _RESERVE * seconds) * weight
            outcome = _run(worker, task, settings, share, left)
            outcomes[task] = outcome
            _write(outcome, settings, digests[task])
            if outcome.state == FAILED:
                say(f"    {outcome.rows[-1].problem}")
    except KeyboardInterrupt:
        why = "the run was interrupted"
    finally:
        worker.close()
    reason = f"not measured: {why}; start it again to go on"
    return [
        outcome or Outcome(task, LEFT, [Row(task.subject, task.form, problem=reason)])
        for task, outcome in outcomes.items()
    ]


def _run(worker: Worker, task: Task, settings: Settings, share: float, left: float) -> Outcome:
    rows: list[Row] = []
    began = time.monotonic()
    limit = min(left, max(_LONGEST * share, _LEAST_S))
    try:
        rows.extend(worker.run(STEPS[task.step].module, task, settings, share, limit))
        state = DONE
    except TaskError as error:
        rows.append(Row(task.subject, task.form, problem=str(error)))
        state = FAILED
    return Outcome(task, state, rows, time.monotonic() - began)


def _path(task: Task, settings: Settings) -> Path:
    return settings.out / "tasks" / f"{task.name}.json"


def _write(outcome: Outcome, settings: Settings, digest: str) -> None:
    content = {
        "inputs": digest,
        "state": outcome.state,
        "seconds": outcome.seconds,
        "rows": [as_json(row) for row in outcome.rows],
    }
    with open_replacing(_path(outcome.task, settings), "w") as file:
        json.dump(content, file, indent=1)


def _read(task: Task, settings: Settings, digest: str) -> Outcome | None:
    """Return the outcome of an earlier run if the task was done on the same inputs."""
    with suppress(OSError, ValueError, KeyError, TypeError):  # none, or a damaged file
        content = json.loads(_path(task, settings).read_text())
        if content["inputs"] == digest and content["state"] == DONE:
            rows = [_row(entry) for entry in content["rows"]]
            return Outcome(task, DONE, rows, float(content["seconds"]), again=True)
    return None


def as_json(row: Row) -> dict[str, Any]:
    """Return a row for JSON, which knows no NaN."""
    figures = {name: value if math.isfinite(value) else None for name, value in row.figures.items()}
    return asdict(replace(row, figures=figures))  # type: ignore[arg-type]


def _row(entry: dict[str, Any]) -> Row:
    figures = {
        name: float("nan") if value is None else value for name, value in entry["figures"].items()
    }
    return Row(**{**entry, "figures": figures})
