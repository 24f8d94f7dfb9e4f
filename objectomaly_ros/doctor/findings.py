"""Findings: what was found, how bad it is, and what to do about it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from objectomaly_ros.files.reading import printable

Level: TypeAlias = Literal["ok", "warning", "error"]
"""Works; works, but may disappoint; does not work."""

_COLOURS = {"ok": "\033[32m", "warning": "\033[33m", "error": "\033[31m"}
_PLAIN = "\033[0m"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: see `Level`.
        subject: what was looked at, such as a package or a topic.
        found: what was found there, with its value.
        remedy: what to do; empty if there is nothing to do.
    """

    level: Level
    subject: str
    found: str
    remedy: str = ""


Report: TypeAlias = Mapping[str, Sequence[Finding]]
"""Findings by area, in the order in which they are shown."""


def count(report: Report, level: Level) -> int:
    """Return the number of findings of a level."""
    return sum(finding.level == level for findings in report.values() for finding in findings)


def as_rows(report: Report) -> list[dict[str, str]]:
    """Return the findings as rows with `area`, `level`, `subject`, `found` and `remedy`."""
    return [{"area": area, **vars(f)} for area, findings in report.items() for f in findings]


def as_text(report: Report, *, width: int = 100, colour: bool = False) -> str:
    """Return the findings as aligned lines for people, the remedies below what they mend.

    Args:
        report: the findings.
        width: columns of the terminal.
        colour: colour the levels with ANSI sequences.
    """
    subjects = [f.subject for findings in report.values() for f in findings]
    column = min(24, max(map(len, subjects), default=0))
    lines: list[str] = []
    for area, findings in report.items():
        if findings:
            lines += ["", area] if lines else [area]
            lines += [line for f in findings for line in _lines(f, column, width, colour)]
    errors, warnings = count(report, "error"), count(report, "warning")
    lines += ["", f"{_plural(errors, 'error')}, {_plural(warnings, 'warning')}"]
    return "\n".join(lines)


def _lines(finding: Finding, column: int, width: int, colour: bool) -> list[str]:
    head = f"  {finding.level:7}  {printable(finding.subject):{column}}  "
    indent = " " * (column + 13)
    lines = _filled(finding.found, width, head, indent)
    if colour:
        painted = f"{_COLOURS[finding.level]}{finding.level}{_PLAIN}"
        lines[0] = lines[0].replace(finding.level, painted, 1)
    if finding.remedy:
        arrow = f"{indent}-> "
        lines += _filled(finding.remedy, width, arrow, " " * len(arrow))
    return lines


def _filled(text: str, width: int, first: str, later: str) -> list[str]:
    wrapper = textwrap.TextWrapper(
        max(width, len(later) + 40),
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapper.wrap(printable(" ".join(text.split()))) or [first.rstrip()]


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def as_document(report: Report, **facts: Any) -> dict[str, Any]:
    """Return everything as one document for machines; `ok` is false if something will not work."""
    errors = count(report, "error")
    return {
        "ok": not errors,
        "errors": errors,
        "warnings": count(report, "warning"),
        **facts,
        "findings": as_rows(report),
    }
