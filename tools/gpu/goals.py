"""The goals of the run, each with its figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tools.gpu.node import RATIO
from tools.gpu.refinement import BOTH
from tools.gpu.rows import Row

StepRow = tuple[str, Row]
"""A step's name, and a row of it."""


@dataclass(frozen=True)
class Goal:
    """A figure that is to be reached.

    Attributes:
        name: what it is of.
        figure: its name in the rows.
        limit: to reach.
        at_least: whether more is better.
        rows: which rows count; the best of them whose check holds is taken.
    """

    name: str
    figure: str
    limit: float
    at_least: bool
    rows: Callable[[str, Row], bool]

    @property
    def wanted(self) -> str:
        """The limit in words."""
        return f"at {'least' if self.at_least else 'most'} {self.limit:g}"


@dataclass(frozen=True)
class Outcome:
    """How a goal fared.

    Attributes:
        goal: the goal.
        state: "met", "missed" or "not measured".
        value: the best figure.
        by: the form that reached it, or why there is none.
    """

    goal: Goal
    state: str
    value: float | None
    by: str


def _sam(name: str, *, half: bool) -> Callable[[str, Row], bool]:
    return lambda step, row: (
        step == "sam"
        and row.subject == name
        and (row.form.startswith("float16") if half else row.form == "float32")
    )


_VITS = {"sam_vit_b": "ViT-B", "sam_vit_l": "ViT-L", "sam_vit_h": "ViT-H"}
GOALS = [
    *(Goal(f"SAM {title}, exact: times the official generator", "times official", 4, True,
           _sam(name, half=False)) for name, title in _VITS.items()),
    *(Goal(f"SAM {title}, half precision: times the official generator", "times official", 8, True,
           _sam(name, half=True)) for name, title in _VITS.items()),
    Goal("SAM ViT-H, 32x32 points, 720p: ms", "median ms", 100, False,
         lambda step, row: step == "sam" and row.subject == "sam_vit_h" and row.size == "720p"
         and row.form != "official"),
    Goal("OASC + MBP, 720p: ms", "median ms", 1, False,
         lambda step, row: step == "refinement" and row.subject == BOTH and row.size == "720p"
         and row.form == "on the device"),
    Goal("CAS beside SAM: p99, times CAS alone", RATIO, 1.25, False,
         lambda step, row: step == "node"),
]  # fmt: skip


def judge(rows: Sequence[StepRow], why_not: str) -> list[Outcome]:
    """Return the outcome of every goal.

    Args:
        rows: of all steps.
        why_not: why no goal can be judged, such as a CPU; empty if they can.
    """
    return [
        Outcome(goal, "not measured", None, why_not) if why_not else _outcome(goal, rows)
        for goal in GOALS
    ]


def _outcome(goal: Goal, rows: Sequence[StepRow]) -> Outcome:
    fitting = [row for step, row in rows if goal.rows(step, row)]
    found = [row for row in fitting if goal.figure in row.figures and row.holds is not False]
    if not found:
        reasons = (
            "its check does not hold" if row.holds is False else row.problem or row.note
            for row in fitting
        )
        return Outcome(goal, "not measured", None, next(filter(None, reasons), "no row has it"))
    best = (max if goal.at_least else min)(found, key=lambda row: row.figures[goal.figure])
    value = best.figures[goal.figure]
    met = value >= goal.limit if goal.at_least else value <= goal.limit
    by = f"{best.form} ({best.weights} weights)" if best.weights else best.form
    return Outcome(goal, "met" if met else "missed", value, by)
