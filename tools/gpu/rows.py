"""What is measured, under which settings, and the rows that come of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

STAND_IN, PUBLISHED, GOLDEN, PACKAGE = "stand-in", "published", "golden stand-in", "package"
"""Weights of a row: drawn at random from a seed, a published checkpoint, those behind the goldens,
or those of the package."""


@dataclass(frozen=True)
class Settings:
    """Settings of a run.

    Attributes:
        device: a torch device, e.g. "cuda" or "cpu".
        tiny: networks and images that take milliseconds, to try every step.
        out: the folder of the results.
    """

    device: str
    tiny: bool
    out: Path

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device != "cpu"

    @property
    def half(self) -> str:
        """The half precision of the device."""
        return "float16" if self.on_gpu else "bfloat16"

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Names and shapes of the images that are timed, the main one first."""
        if self.tiny:
            return {"160x96": (96, 160)}
        return {"720p": (720, 1280), "1080p": (1080, 1920)}


@dataclass(frozen=True)
class Task:
    """The smallest part of a run: done, failed or repeated as a whole.

    Attributes:
        step: name of its step.
        subject: the model that it measures.
        form: of the subject, such as its precision.
        seconds: its share of ten minutes.
    """

    step: str
    subject: str
    form: str
    seconds: float

    @property
    def name(self) -> str:
        """Names the task, also as a file."""
        words = f"{self.step} {self.subject} {self.form}"
        return "-".join(words.replace(",", "").replace("+", "").split())


@dataclass(frozen=True)
class Row:
    """One result.

    Attributes:
        subject: the model.
        form: of the subject.
        size: of the image.
        figures: name with unit -> value.
        holds: whether a check holds; None for a row without one.
        weights: see `STAND_IN`; empty for what has none.
        note: further words.
        problem: why there are no figures; empty if there are.
    """

    subject: str
    form: str
    size: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    holds: bool | None = None
    weights: str = ""
    note: str = ""
    problem: str = ""


class Budget:
    """The seconds that a task may spend; it always measures something."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that remain, negative if they are overdrawn."""
        return self._end - time.monotonic()


class Measure(Protocol):
    """Yields the rows of a task as they are measured."""

    def __call__(self, task: Task, settings: Settings, budget: Budget) -> Iterator[Row]:
        """Run a task."""
        ...
