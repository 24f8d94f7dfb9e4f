"""Published figures of other methods; each names its split."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("published.json")


@dataclass(frozen=True)
class PublishedRow:
    """One method on one dataset; fractions, None if not published.

    Attributes:
        method: its name.
        split: "test" (hidden), "validation", "whole set", or "claimed" if the paper names none.
        auprc, fpr95, siou, ppv, f1: as in our metrics; f1 is the mean component F1.
        source: the publication.
    """

    method: str
    split: str
    auprc: float | None
    fpr95: float | None
    siou: float | None
    ppv: float | None
    f1: float | None
    source: str

    @property
    def cells(self) -> dict[str, float | None]:
        """The figures by column of `results.COLUMNS`."""
        return {
            "AuPRC": self.auprc,
            "FPR95": self.fpr95,
            "sIoU": self.siou,
            "PPV": self.ppv,
            "mean F1": self.f1,
        }


def published_rows(dataset: str | None) -> list[PublishedRow]:
    """Return the rows of `dataset`, a key of published.json; none for None."""
    rows: list[dict[str, Any]] = _content()["datasets"].get(dataset, [])
    for row in rows:
        row.update({k: v / 100 for k, v in row.items() if isinstance(v, int | float)})
    return [PublishedRow(**row) for row in rows]


def about() -> str:
    """Explain the splits, and when the figures were read."""
    return str(_content()["about"])


def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(_FILE.read_text("utf-8"))
    return content
