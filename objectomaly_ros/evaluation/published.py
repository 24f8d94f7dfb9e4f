"""Figures that others published, to stand beside ours; each says for which split it holds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("published.json")


@dataclass(frozen=True)
class PublishedRow:
    """One method's figures on one dataset; fractions, None where not published.

    Attributes:
        method: its name.
        split: "test" (hidden), "validation", "whole set", or "claimed" where the paper names none.
        auprc, fpr95, siou, ppv, f1: as in our own metrics; f1 is the mean component F1.
        source: where the figures stand.
    """

    method: str
    split: str
    auprc: float | None
    fpr95: float | None
    siou: float | None
    ppv: float | None
    f1: float | None
    source: str


def published_rows(dataset: str | None) -> list[PublishedRow]:
    """Return what is published of `dataset`, a key of published.json; nothing for None."""
    rows = _content()["datasets"].get(dataset, []) if dataset else []
    numbers = ("auprc", "fpr95", "siou", "ppv", "f1")
    return [
        PublishedRow(
            **{
                key: value / 100 if key in numbers and value is not None else value
                for key, value in row.items()
            }
        )
        for row in rows
    ]


def about() -> str:
    """Say what the splits mean and when the figures were read."""
    return str(_content()["about"])


def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(_FILE.read_text("utf-8"))
    return content
