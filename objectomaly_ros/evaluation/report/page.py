"""Puts the report together from what was measured."""

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
from objectomaly_ros.evaluation.report.tables import figures_table, frames_table
from objectomaly_ros.evaluation.results import failed, percent, plateau_notes
from objectomaly_ros.evaluation.runner import DatasetResult
from objectomaly_ros.evaluation.stages import STAGE_TITLES, STAGES
from objectomaly_ros.files.writing import open_replacing

_TEMPLATE = Path(__file__).with_name("template.html")


def write_report(path: str | Path, results: Sequence[DatasetResult], cache: ScoreCache) -> None:
    """Write the report: one HTML file, with its style, script and pictures inside.

    Args:
        path: of the file.
        results: what `evaluate` returned.
        cache: where its scores are, for the pictures.
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
    with open_replacing(path, "w", encoding="utf-8") as file:
        file.write(page)


def _dataset(result: DatasetResult, cache: ScoreCache, number: int) -> str:
    dataset = result.dataset
    used = max((len(run.scored) for run in result.runs), default=0)
    notes = [*dataset.notes, *plateau_notes(result)]
    faults = failed(result)
    parts = [
        f'<section id="dataset{number}"><h2>{escape(dataset.name)}</h2>',
        f'<p class="lead">{used} of {len(dataset.frames)} frames; component sizes of '
        f"{dataset.conventions.track}. {_summary(result)}</p>",
        figures_table(result),
        *(f'<p class="note">{escape(note)}</p>' for note in notes),
    ]
    if faults:
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
    """Say in one sentence what refinement did."""
    sentences = []
    for run in result.runs:
        if run.last == "coarse" or not run.stages:
            continue
        before, after = run.stages["coarse"], run.stages[run.last]
        moves = [
            f"AuPRC {percent(before.pixel.auprc)} → {percent(after.pixel.auprc)}",
            f"FPR95 {percent(before.pixel.fpr95)} → {percent(after.pixel.fpr95)}",
            f"mean component F1 {percent(before.components.f1)} → {percent(after.components.f1)}",
        ]
        sentences.append(f"{escape(run.detector)} refined with {escape(run.masks)}: <b>")
        sentences.append(f"{'; '.join(moves)}</b>.")
    return " ".join(sentences)


def _charts(result: DatasetResult) -> str:
    lines: dict[str, list[Line]] = {"pr": [], "roc": [], "siou": [], "sweep": []}
    lowest = 1.0
    for index, run in enumerate(result.runs):
        colour = COLOURS[index % len(COLOURS)]
        for stage, figures in run.stages.items():
            several = len(result.runs) > 1
            # One run: a colour a stage. Several: a colour a run, a dash a stage.
            look = (
                (colour, DASHES[STAGES.index(stage)])
                if several
                else (COLOURS[STAGES.index(stage)], "")
            )
            name = STAGE_TITLES[stage]
            if several:
                name = f"{run.detector} + {run.masks}, {name}"
            recall, precision, fpr = figures.curve.T
            thresholds = np.array(figures.components.siou_thresholds)
            f1 = np.array(figures.components.f1_per_threshold)
            swept = [(point.recall, point.f1) for point in figures.sweep]
            sweep = np.array(swept or np.empty((0, 2)))
            lines["pr"].append(Line(name, recall, precision, *look))
            lines["roc"].append(Line(name, fpr, recall, *look))
            lines["siou"].append(Line(name, thresholds, f1, *look, dots=True))
            lines["sweep"].append(Line(name, sweep[:, 0], sweep[:, 1], *look, dots=True))
            if not math.isnan(figures.pixel.fpr95):
                lowest = min(lowest, figures.pixel.fpr95)
    floor = 1e-4 if lowest < 3e-3 else 1e-3
    charts = (
        (
            "Precision and recall",
            "pixels, all thresholds",
            chart("Precision-recall curve", "recall, %", "precision, %", lines["pr"]),
        ),
        (
            "ROC",
            "pixels; the horizontal axis is logarithmic, 95 % recall is where FPR95 is read",
            chart(
                "ROC curve",
                "false positive rate, %",
                "recall (true positive rate), %",
                lines["roc"],
                log_floor=floor,
            ),
        ),
        (
            "Component F1 over the sIoU threshold",
            "how well an object must be covered to count as found; the mean is the table's mean F1",
            chart(
                "Component F1 over sIoU thresholds",
                "sIoU threshold, %",
                "component F1, %",
                lines["siou"],
                x_range=(0.25, 0.75),
            ),
        ),
        (
            "Component F1 over the score threshold",
            "mean F1 at thresholds that reach a given pixel recall, chosen between plateaus",
            chart(
                "Mean component F1 over score thresholds",
                "pixel recall at the threshold, %",
                "mean component F1, %",
                lines["sweep"],
            ),
        ),
    )
    figures_html = "".join(
        f"<figure><figcaption><b>{title}</b><br>{text}</figcaption>{svg}</figure>"
        for title, text, svg in charts
    )
    return f'<h3>Curves</h3>{legend(lines["pr"])}<div class="charts">{figures_html}</div>'
