"""The report's tables: our figures with published ones, and every frame."""

from __future__ import annotations

import math
from html import escape

from objectomaly_ros.evaluation.published import published_rows
from objectomaly_ros.evaluation.results import columns, percent, stage_cells
from objectomaly_ros.evaluation.runner import DatasetResult, Run
from objectomaly_ros.evaluation.stages import STAGE_TITLES


def figures_table(result: DatasetResult) -> str:
    """Return the table of figures: the best of ours in bold, published rows below."""
    ours = [(run, f.stage, stage_cells(f)) for run in result.runs for f in run.stages.values()]
    shown = columns(result)
    rows = []
    for run, stage, values in ours:
        cells = ""
        for column, (value, kind) in enumerate(zip(values, shown.values(), strict=True)):
            known = [other[column] for *_, other in ours if not math.isnan(other[column])]
            best = len(ours) > 1 and known and value == (max if kind.higher else min)(known)
            cells += f"<td{' class=best' if best else ''}>{percent(value)}</td>"
        rows.append(
            f"<tr><th>{escape(run.detector)} + {escape(run.masks)}</th>"
            f"<td class=text>{STAGE_TITLES[stage]}</td>{cells}</tr>"
        )
    published = published_rows(result.dataset.conventions.published)
    if published:
        rows.append(
            f'<tr class=divider><td colspan="{len(shown) + 2}">published by others; '
            "compare only figures of the same split</td></tr>"
        )
    for row in published:
        cells = "".join(f"<td>{percent(value)}</td>" for value in map(row.cells.get, shown))
        rows.append(
            f"<tr class=published><th>{escape(row.method)}</th><td class=text>"
            f'<span class="split {row.split.split()[0]}">{escape(row.split)}</span> '
            f"<small>{escape(row.source)}</small></td>{cells}</tr>"
        )
    heads = "".join(
        f'<th title="{escape(kind.meaning)}">{name}'
        f"<small>{' ↑' if kind.higher else ' ↓'}</small></th>"
        for name, kind in shown.items()
    )
    empty = "" if published else '<p class="note">Nothing is published for this dataset.</p>'
    return (
        '<div class="scroll"><table class="figures"><thead><tr><th>detector + masks</th>'
        f"<th class=text>stage</th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        f"</div>{empty}"
    )


def column_meanings(result: DatasetResult) -> str:
    """Return the explanations of the columns, folded."""
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(kind.meaning)}; "
        f"{'higher' if kind.higher else 'lower'} is better</dd>"
        for name, kind in columns(result).items()
    )
    return f"<details><summary>What the columns mean</summary><dl>{rows}</dl></details>"


def frames_table(run: Run, key: str) -> str:
    """Return the table of all frames of a run; a click on a column head sorts it."""
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
        "frame", "AuPRC coarse", "AuPRC refined", "gain", "FPR95", "pixel F1", "sIoU", "objects",
        "false components",
    )  # fmt: skip
    buttons = "".join(f"<th><button>{head}</button></th>" for head in heads)
    return (
        f"<details><summary>All {len(rows)} frames (click a column head to sort)</summary>"
        f'<div class="scroll"><table class="sortable" id="frames{key}">'
        f"<thead><tr>{buttons}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def _cell(value: float) -> str:
    number = "" if math.isnan(value) else f"{value:.6f}"
    return f'<td data-v="{number}">{percent(value)}</td>'
