"""The page of the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from string import Template

import numpy as np

from objectomaly_ros import __version__
from objectomaly_ros.evaluation.cache import ScoreCache
from objectomaly_ros.evaluation.published import about
from objectomaly_ros.evaluation.report.charts import COLOURS, DASHES, Line, chart, legend
from objectomaly_ros.evaluation.report.frames import frame_gallery
from objectomaly_ros.evaluation.report.tables import column_meanings, figures_table, frames_table
from objectomaly_ros.evaluation.results import failed, frame_count, notes, percent
from objectomaly_ros.evaluation.runner import DatasetResult
from objectomaly_ros.evaluation.stages import STAGE_TITLES, STAGES
from objectomaly_ros.files.writing import open_replacing

_TEMPLATE = Path(__file__).with_name("template.html")


def write_report(path: str | Path, results: Sequence[DatasetResult], cache: ScoreCache) -> None:
    """Write the report: one HTML file with style, script and pictures.

    Args:
        path: of the file.
        results: of `evaluate`.
        cache: holds the scores, for the pictures.

    Raises:
        OSError: it cannot be written.
    """
    template = Template(_TEMPLATE.read_text("utf-8"))
    names = ", ".join(result.dataset.name for result in results)
    page = template.substitute(
        title=escape(f"Evaluation: {names}"),
        made=escape(
            f"objectomaly_ros {__version__}, {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"
        ),
        body="\n".join(_dataset(result, cache, n) for n, result in enumerate(results)),
        about=escape(about()),
    )
    # Names of files need not be text.
    with open_replacing(path, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(page)


def _dataset(result: DatasetResult, cache: ScoreCache, number: int) -> str:
    parts = [
        f'<section id="dataset{number}"><h2>{escape(result.dataset.name)}</h2>',
        f'<p class="lead">{frame_count(result)}. {_summary(result)}</p>',
        figures_table(result),
        *(f'<p class="note">{escape(note)}</p>' for note in notes(result)),
        column_meanings(result),
    ]
    if faults := failed(result):
        items = "".join(f"<li>{escape(line)}</li>" for line in faults)
        parts.append(
            f'<details class="faults" open><summary>{len(faults)} left out</summary>'
            f"<ul>{items}</ul></details>"
        )
    if any(run.stages for run in result.runs):
        parts.append(_charts(result))
    for index, run in enumerate(result.runs):
        if run.stages:
            key = f"{number}-{index}"
            parts.append(f"<h3>Frames: {escape(run.detector)} + {escape(run.masks)}</h3>")
            parts.append(frame_gallery(result.dataset, run, cache, key))
            parts.append(frames_table(run, key))
    return "".join((*parts, "</section>"))


def _summary(result: DatasetResult) -> str:
    """Say what refinement changed, in a sentence for each run."""
    sentences = []
    for run in result.runs:
        if run.last == "coarse":
            continue
        before, after = run.stages["coarse"], run.stages[run.last]
        changes = (
            ("AuPRC", before.pixel.auprc, after.pixel.auprc),
            ("FPR95", before.pixel.fpr95, after.pixel.fpr95),
            ("mean component F1", before.components.f1, after.components.f1),
        )
        moves = "; ".join(f"{name} {percent(old)} → {percent(new)}" for name, old, new in changes)
        sentences.append(
            f"{escape(run.detector)} refined with {escape(run.masks)}: <b>{moves}</b>."
        )
    return " ".join(sentences)


def _charts(result: DatasetResult) -> str:
    lines: dict[str, list[Line]] = {"pr": [], "roc": [], "siou": [], "sweep": []}
    several = len(result.runs) > 1
    lowest = 1.0
    for index, run in enumerate(result.runs):
        for stage, figures in run.stages.items():
            number, name = STAGES.index(stage), STAGE_TITLES[stage]
            # One run: a colour for each stage. Several: a colour for each run, a dash for a stage.
            look = (COLOURS[number], "")
            if several:
                name = f"{run.detector} + {run.masks}, {name}"
                look = (COLOURS[index % len(COLOURS)], DASHES[number])
            recall, precision, fpr = figures.curve.T
            thresholds = np.array(figures.components.siou_thresholds)
            f1 = np.array(figures.components.f1_per_threshold)
            sweep = np.array([(p.recall, p.f1) for p in figures.sweep] or np.empty((0, 2)))
            lines["pr"].append(Line(name, recall, precision, *look))
            lines["roc"].append(Line(name, fpr, recall, *look))
            lines["siou"].append(Line(name, thresholds, f1, *look, dots=True))
            lines["sweep"].append(Line(name, sweep[:, 0], sweep[:, 1], *look, dots=True))
            if not math.isnan(figures.pixel.fpr95):
                lowest = min(lowest, figures.pixel.fpr95)
    floor = 1e-4 if lowest < 3e-3 else 1e-3
    charts = (
        (
            "Precision and recall of pixels",
            "at all thresholds of the score",
            chart("precision over recall", "recall, %", "precision, %", lines["pr"]),
        ),
        (
            "ROC of pixels",
            "logarithmic horizontal axis; FPR95 is read at 95 % recall",
            chart(
                "ROC curve", "false positive rate, %", "recall (true positive rate), %",
                lines["roc"], log_floor=floor,
            ),
        ),
        (
            "Component F1 over the sIoU threshold",
            "the sIoU from which an object counts as found; the table has the mean of this curve",
            chart(
                "component F1 over sIoU threshold", "sIoU threshold, %", "component F1, %",
                lines["siou"], x_range=(0.25, 0.75),
            ),
        ),
        (
            "Component F1 over the score threshold",
            "mean F1 at the thresholds of ten pixel recalls, each between two plateaus",
            chart(
                "mean component F1 over pixel recall", "pixel recall at the threshold, %",
                "mean component F1, %", lines["sweep"],
            ),
        ),
    )  # fmt: skip
    figures_html = "".join(
        f"<figure><figcaption><b>{title}</b><br>{text}</figcaption>{svg}</figure>"
        for title, text, svg in charts
    )
    return f'<h3>Curves</h3>{legend(lines["pr"])}<div class="charts">{figures_html}</div>'
