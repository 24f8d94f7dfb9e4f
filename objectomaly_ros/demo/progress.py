"""Tells how far the demo is: a bar on a terminal, one line a stage in a log or pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} {unit}"
_CLOCK = "{desc}: {elapsed}"


class Progress:
    """The stages of the demo.

    Attributes:
        seconds: how long each finished stage took.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, total: float | None = None, unit: str = "") -> Iterator[Any]:
        """Announce a stage; yield a tqdm bar to `update`, which only a terminal shows."""
        terminal = sys.stdout.isatty()
        if not terminal:
            print(name if total is None else f"{name}: {total:.0f} {unit}", flush=True)
        start = time.monotonic()
        with tqdm(
            desc=name,
            total=total,
            unit=unit,
            file=sys.stdout,
            disable=not terminal,
            bar_format=_BAR if total else _CLOCK,
        ) as bar:
            yield bar
        self.seconds[name] = time.monotonic() - start
