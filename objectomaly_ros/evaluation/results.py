"""Results for machines (JSON) and for the terminal (a table)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from objectomaly_ros import __version__
from objectomaly_ros.evaluation.measure import StageFigures
from objectomaly_ros.evaluation.published import about, published_rows
from objectomaly_ros.evaluation.runner import DatasetResult
from objectomaly_ros.evaluation.stages import STAGE_TITLES

_HEADS = ("method", "stage", "AuPRC", "FPR95", "AuROC", "pixel F1", "sIoU", "PPV", "mean F1")


def as_json(results: Sequence[DatasetResult]) -> dict[str, Any]:
    """Return everything that was measured; fractions, None where a figure is undefined."""
    return {
        "objectomaly_ros": __version__,
        "unit": "fractions, 0 to 1; null where a figure is undefined",
        "datasets": [_dataset(result) for result in results],
        "published": about(),
    }


def as_text(results: Sequence[DatasetResult]) -> str:
    """Return a table a dataset, in percent, published figures below our own."""
    return "\n\n".join(_table(result) for result in results)


def stage_cells(figures: StageFigures) -> list[float]:
    """Return the figures of a table row, fractions: from AuPRC to mean F1 as in the heads."""
    pixel, components = figures.pixel, figures.components
    return [
        pixel.auprc,
        pixel.fpr95,
        pixel.auroc,
        pixel.best_f1,
        components.siou,
        components.ppv,
        components.f1,
    ]


def percent(value: float | None) -> str:
    """Write a fraction as percent with two decimals, a dash where there is none."""
    return "-" if value is None or math.isnan(value) else f"{100 * value:.2f}"


def plateau_notes(result: DatasetResult) -> list[str]:
    """Say where the official reading of the threshold would have lost objects."""
    notes = []
    for run in result.runs:
        for figures in run.stages.values():
            lost = figures.components.f1 - figures.strict_f1
            if lost > 0.0005:
                notes.append(
                    f"{run.detector} + {run.masks}, {STAGE_TITLES[figures.stage]}: the best-F1 "
                    f"threshold {figures.pixel.best_f1_level:.6g} is the score of a plateau. "
                    f"Predicting with '>' that value, as the official code does, drops it: mean F1 "
                    f"{percent(figures.strict_f1)} in place of {percent(figures.components.f1)}"
                )
    return notes


def _table(result: DatasetResult) -> str:
    dataset = result.dataset
    used = max((len(run.scored) for run in result.runs), default=0)
    lines = [
        f"{dataset.name}: {used} of {len(dataset.frames)} frames, "
        f"component sizes of {dataset.conventions.track}, percent"
    ]
    rows: list[Sequence[str]] = [_HEADS]
    for run in result.runs:
        for figures in run.stages.values():
            rows.append(
                (
                    f"{run.detector} + {run.masks}",
                    STAGE_TITLES[figures.stage],
                    *map(percent, stage_cells(figures)),
                )
            )
    for row in published_rows(dataset.conventions.published):
        cells = (row.auprc, row.fpr95, None, None, row.siou, row.ppv, row.f1)
        rows.append((row.method, f"published, {row.split}", *map(percent, cells)))
    lines += _aligned(rows)
    if not published_rows(dataset.conventions.published):
        lines.append("Nothing is published for this dataset.")
    lines += [f"note: {note}" for note in (*dataset.notes, *plateau_notes(result))]
    lines += [f"left out: {failure}" for failure in failed(result)]
    return "\n".join(lines)


def failed(result: DatasetResult) -> list[str]:
    """Return one line per frame and reason that could not be used, without repetition."""
    return list(
        dict.fromkeys(
            f"{failure.frame}: {failure.reason}" for run in result.runs for failure in run.failures
        )
    )


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_padded(row, widths)).rstrip() for row in rows]


def _padded(row: Sequence[str], widths: Sequence[int]) -> Iterable[str]:
    for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield cell.ljust(width) if index < 2 else cell.rjust(width)


def _dataset(result: DatasetResult) -> dict[str, Any]:
    dataset = result.dataset
    return {
        "name": dataset.name,
        "folder": str(dataset.folder),
        "frames": len(dataset.frames),
        "track": dataset.conventions.track,
        "notes": [*dataset.notes, *plateau_notes(result)],
        "published": _plain([asdict(row) for row in published_rows(dataset.conventions.published)]),
        "runs": [
            {
                "detector": run.detector,
                "masks": run.masks,
                "frames": len(run.scored),
                "computed": run.computed,
                "failures": [asdict(failure) for failure in run.failures],
                "stages": {stage: _stage(figures) for stage, figures in run.stages.items()},
            }
            for run in result.runs
        ],
    }


def _stage(figures: StageFigures) -> dict[str, Any]:
    components = asdict(figures.components)
    del components["frames"]
    return {
        "pixel": _plain(asdict(figures.pixel)),
        "components": _plain(components),
        "strict_f1": _plain(figures.strict_f1),
        "sweep": _plain([asdict(point) for point in figures.sweep]),
        "frames": _plain([asdict(frame) for frame in figures.frames]),
    }


def _plain(value: Any) -> Any:
    """Make NaN and infinity null, which JSON has no word for."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
