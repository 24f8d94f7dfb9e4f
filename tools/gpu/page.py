"""The result of a run as one JSON file and one page."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from objectomaly_ros.files.writing import open_replacing
from tools.gpu import goals
from tools.gpu.plan import STEPS
from tools.gpu.rows import STAND_IN, Row, Settings
from tools.gpu.running import FAILED, LEFT, Outcome, as_json


@dataclass(frozen=True)
class Report:
    """What a run showed.

    Attributes:
        settings: of the run.
        machine: name -> value.
        outcomes: of all tasks.
    """

    settings: Settings
    machine: Mapping[str, object]
    outcomes: Sequence[Outcome]

    @property
    def rows(self) -> list[goals.StepRow]:
        """All rows with their step."""
        return [(done.task.step, row) for done in self.outcomes for row in done.rows]

    def judged(self) -> list[goals.Outcome]:
        """Return the outcomes of the goals."""
        why = "" if self.settings.on_gpu else "this is a CPU"
        return goals.judge(self.rows, "--tiny networks" if self.settings.tiny else why)

    def count(self, state: str) -> int:
        """Return the number of tasks in a state."""
        return sum(outcome.state == state for outcome in self.outcomes)

    @property
    def broken(self) -> list[Row]:
        """Rows whose check does not hold."""
        return [row for _, row in self.rows if row.holds is False]

    def verdict(self) -> list[str]:
        """Return the result in sentences."""
        checks = [row.holds for _, row in self.rows if row.holds is not None]
        states = [outcome.state for outcome in self.judged()]
        kind = "tiny networks on " if self.settings.tiny else ""
        said = [
            f"On {kind}{self.machine['device']}, {sum(checks)} of {len(checks)} checks hold, and "
            f"{states.count('met')} of {len(states)} goals are met "
            f"({states.count('missed')} missed, {states.count('not measured')} not measured)."
        ]
        if failed := self.count(FAILED):
            said.append(f"{failed} of {len(self.outcomes)} tasks failed; start it again to retry.")
        if left := self.count(LEFT):
            said.append(f"{left} of {len(self.outcomes)} tasks are left; start it again to go on.")
        if any(STAND_IN in row.weights for _, row in self.rows):
            said.append(
                "Weights marked stand-in are random: times and equality are right, masks and "
                "scores mean nothing."
            )
        return said


def write(report: Report) -> tuple[Path, Path]:
    """Write `gpu.json` and `index.html` into the folder of results; return their paths."""
    out = report.settings.out
    content: dict[str, Any] = {
        "verdict": report.verdict(),
        "machine": dict(report.machine),
        "tiny": report.settings.tiny,
        "goals": [
            {"goal": done.goal.name, "wanted": done.goal.wanted, "state": done.state,
             "value": done.value, "by": done.by}
            for done in report.judged()
        ],
        "tasks": [
            {"step": done.task.step, "subject": done.task.subject, "form": done.task.form,
             "state": done.state, "seconds": round(done.seconds, 2), "from_earlier_run": done.again}
            for done in report.outcomes
        ],
        "rows": [{"step": step, **as_json(row)} for step, row in report.rows],
    }  # fmt: skip
    with open_replacing(out / "gpu.json", "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, allow_nan=False)
    with open_replacing(out / "index.html", "w", encoding="utf-8") as file:
        file.write(_html(report))
    return out / "gpu.json", out / "index.html"


def _html(report: Report) -> str:
    first, *further = report.verdict()
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<title>objectomaly: make gpu</title><meta name=viewport content='width=device-width'>",
        f"<style>{_STYLE}</style><h1>{escape(first)}</h1>",
        *(f"<p>{escape(text)}</p>" for text in further),
        "<h2>Goals</h2>",
        _goals(report.judged()),
    ]
    for name, step in STEPS.items():
        rows = _by_subject([row for of, row in report.rows if of == name])
        parts.append(f"<h2>{escape(step.title)}</h2><p>{escape(step.about)}</p>{_table(rows)}")
    machine = "".join(
        f"<tr><th>{escape(str(key))}<td>{escape(str(value))}"
        for key, value in report.machine.items()
    )
    parts.append(f"<h2>Machine</h2><table>{machine}</table>")
    parts.append(
        "<p>Not measured: <code>detectron2</code> and <code>precomputed</code>, which run a "
        "network or files of yours. <code>gpu.json</code> beside this page has all rows.</p>"
    )
    return "\n".join(parts)


def _by_subject(rows: Sequence[Row]) -> list[Row]:
    """Bring the rows of a subject together; compiled forms are measured last."""
    subjects = list(dict.fromkeys(row.subject for row in rows))
    return sorted(rows, key=lambda row: subjects.index(row.subject))


def _goals(judged: Sequence[goals.Outcome]) -> str:
    rows = "".join(
        f"<tr class='{done.state.replace(' ', '-')}'><td>{escape(done.goal.name)}"
        f"<td>{escape(done.goal.wanted)}<td class=n>{_number('', done.value)}"
        f"<td><b>{done.state}</b><td>{escape(done.by)}"
        for done in judged
    )
    return f"<table><tr><th>goal<th>wanted<th>measured<th>state<th>by, or why not{rows}</table>"


def _table(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row.figures))
    heads = ["subject", "form", "input", *names, "check", "weights", "note"]
    lines = []
    for row in rows:
        check = "" if row.holds is None else "holds" if row.holds else "does not hold"
        cells = [
            row.subject, row.form, row.size,
            *(_number(name, row.figures.get(name)) for name in names),
            check, row.weights, row.problem or row.note,
        ]  # fmt: skip
        lines.append(("failed" if row.problem else check.replace(" ", "-"), cells))
    kept = [k for k in range(len(heads)) if any(cells[k] for _, cells in lines)]
    kinds = [" class=n" if heads[k] in names else f" class={heads[k]}" for k in kept]
    body = "".join(
        f"<tr class='{kind}'>"
        + "".join(f"<td{of}>{escape(cells[k])}" for k, of in zip(kept, kinds, strict=True))
        for kind, cells in lines
    )
    head = "".join(f"<th>{escape(heads[k])}" for k in kept)
    return f"<div><table><tr>{head}{body}</table></div>"


def _number(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if not math.isfinite(value):
        return "not finite"
    if name in ("difference", "bound"):
        return "0" if value == 0 else f"{value:.1e}"
    if name == "IoU":
        return f"{value:.4f}"
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;max-width:96rem;margin:1.5rem auto;padding:0 1rem;
color:#1c2126;background:#fff}
h1{font-size:1.35rem}h2{font-size:1.1rem;margin:1.8rem 0 .3rem}p{margin:.3rem 0;max-width:60rem}
div{overflow-x:auto}table{border-collapse:collapse;margin:.5rem 0;font-size:.86rem}
th,td{padding:.22rem .55rem;border-bottom:1px solid #e1e5e9;text-align:left;vertical-align:top}
th{color:#5b6670;font-weight:600}.n{text-align:right;font-variant-numeric:tabular-nums;
white-space:nowrap}
td:first-child,.check{white-space:nowrap}.note{min-width:12rem}
.met b,.holds .check{color:#1a7f37}
.missed b,.does-not-hold .check,.failed .note{color:#c62f2f}
.not-measured{color:#5b6670}
"""
