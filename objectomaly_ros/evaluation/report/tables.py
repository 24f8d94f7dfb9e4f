"""The report's tables: our figures beside published ones, and every frame."""

from __future__ import annotations

import math
from html import escape

from objectomaly_ros.evaluation.published import published_rows
from objectomaly_ros.evaluation.results import percent, stage_cells
from objectomaly_ros.evaluation.runner import DatasetResult, Run
from objectomaly_ros.evaluation.stages import STAGE_TITLES

# Head, whether higher is better.
_COLUMNS = (
    ("AuPRC", True),
    ("FPR95", False),
    ("AuROC", True),
    ("pixel F1", True),
    ("sIoU", True),
    ("PPV", True),
    ("mean F1", True),
)


def figures_table(result: DatasetResult) -> str:
    """Return the table of figures, the best of ours in bold, published rows below."""
    ours = [(run, figures) for run in result.runs for figures in run.stages.values()]
    best: list[float | None] = []
    for index, (_, higher) in enumerate(_COLUMNS):
        values = [stage_cells(figures)[index] for _, figures in ours]
        known = [value for value in values if not math.isnan(value)]
        best.append((max if higher else min)(known) if known else None)
    rows = []
    for run, figures in ours:
        cells = "".join(
            f"<td{' class=best' if value == top and len(ours) > 1 else ''}>{percent(value)}</td>"
            for value, top in zip(stage_cells(figures), best, strict=True)
        )
        rows.append(
            f"<tr><th>{escape(run.detector)} + {escape(run.masks)}</th>"
            f"<td class=text>{STAGE_TITLES[figures.stage]}</td>{cells}</tr>"
        )
    published = published_rows(result.dataset.conventions.published)
    if published:
        span = len(_COLUMNS) + 2
        rows.append(
            f'<tr class=divider><td colspan="{span}">published by others; '
            "compare only figures of the same split</td></tr>"
        )
    for row in published:
        numbers = (row.auprc, row.fpr95, None, None, row.siou, row.ppv, row.f1)
        cells = "".join(f"<td>{percent(value)}</td>" for value in numbers)
        rows.append(
            f"<tr class=published><th>{escape(row.method)}</th><td class=text>"
            f'<span class="split {row.split.split()[0]}">{escape(row.split)}</span> '
            f"<small>{escape(row.source)}</small></td>{cells}</tr>"
        )
    heads = "".join(
        f"<th>{name}<small>{' ↑' if higher else ' ↓'}</small></th>" for name, higher in _COLUMNS
    )
    empty = "" if published else '<p class="note">Nothing is published for this dataset.</p>'
    return (
        '<div class="scroll"><table class="figures"><thead><tr><th>detector + masks</th>'
        f"<th class=text>stage</th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        f"</div>{empty}"
    )


def frames_table(run: Run, key: str) -> str:
    """Return the table of all frames of a run; its heads sort it."""
    coarse = {frame.name: frame for frame in run.stages["coarse"].frames}
    rows = []
    for frame in run.stages[run.last].frames:
        before = coarse[frame.name].auprc
        gain = frame.auprc - before
        values = (before, frame.auprc, gain, frame.fpr95, frame.f1, frame.siou)
        cells = "".join(_cell(value) for value in values)
        rows.append(
            f"<tr><th>{escape(frame.name)}</th>{cells}"
            f'<td data-v="{frame.objects}">{frame.objects}</td>'
            f'<td data-v="{frame.false_components}">{frame.false_components}</td></tr>'
        )
    heads = (
        "frame",
        "AuPRC coarse",
        "AuPRC refined",
        "gain",
        "FPR95",
        "pixel F1",
        "sIoU",
        "objects",
        "false components",
    )
    buttons = "".join(f"<th><button>{head}</button></th>" for head in heads)
    return (
        f"<details><summary>All {len(rows)} frames (click a head to sort)</summary>"
        f'<div class="scroll"><table class="sortable" id="frames{key}">'
        f"<thead><tr>{buttons}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def _cell(value: float) -> str:
    number = "" if math.isnan(value) else f"{value:.6f}"
    return f'<td data-v="{number}">{percent(value)}</td>'
