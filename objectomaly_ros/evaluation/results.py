"""Results as JSON for machines and as a table for the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from objectomaly_ros import __version__
from objectomaly_ros.evaluation.measure import StageFigures
from objectomaly_ros.evaluation.published import about, published_rows
from objectomaly_ros.evaluation.runner import DatasetResult
from objectomaly_ros.evaluation.stages import STAGE_TITLES

COLUMNS = {
    "AuPRC": True, "FPR95": False, "AuROC": True, "pixel F1": True,
    "sIoU": True, "PPV": True, "mean F1": True,
}  # fmt: skip
"""Columns of the tables: whether higher is better."""


def as_json(results: Sequence[DatasetResult]) -> dict[str, Any]:
    """Return everything measured; fractions, None if a figure is undefined."""
    content = {
        "objectomaly_ros": __version__,
        "unit": "fractions, 0 to 1; null where a figure is undefined",
        "datasets": [_dataset(result) for result in results],
        "published": about(),
    }
    return dict(finite(content))


def as_text(results: Sequence[DatasetResult]) -> str:
    """Return a table of each dataset in percent, published figures below ours."""
    return "\n\n".join(_table(result) for result in results)


def stage_cells(figures: StageFigures) -> list[float]:
    """Return the figures of a table row, fractions, in the order of `COLUMNS`."""
    pixel, components = figures.pixel, figures.components
    return [
        pixel.auprc, pixel.fpr95, pixel.auroc, pixel.best_f1,
        components.siou, components.ppv, components.f1,
    ]  # fmt: skip


def percent(value: float | None) -> str:
    """Write a fraction as percent with two decimals, a dash if it is undefined."""
    return "-" if value is None or math.isnan(value) else f"{100 * value:.2f}"


def plateau_notes(result: DatasetResult) -> list[str]:
    """Name the stages in which the official use of the threshold loses objects."""
    notes = []
    for run in result.runs:
        for figures in run.stages.values():
            if figures.components.f1 - figures.strict_f1 > 0.0005:
                notes.append(
                    f"{run.detector} + {run.masks}, {STAGE_TITLES[figures.stage]}: the best-F1 "
                    f"threshold {figures.pixel.best_f1_level:.6g} is the score of a plateau, which "
                    "the official code loses, since it predicts with '>' that value: mean F1 "
                    f"{percent(figures.strict_f1)} instead of {percent(figures.components.f1)}"
                )
    return notes


def failed(result: DatasetResult) -> list[str]:
    """Return one line for each frame and reason of the failures."""
    lines = [
        f"{failure.frame}: {failure.reason}" for run in result.runs for failure in run.failures
    ]
    return list(dict.fromkeys(lines))


def frame_count(result: DatasetResult) -> str:
    """Say how many frames count, and with which component sizes."""
    used = max((len(run.scored) for run in result.runs), default=0)
    dataset = result.dataset
    return f"{used} of {len(dataset.frames)} frames, component sizes of {dataset.conventions.track}"


def _table(result: DatasetResult) -> str:
    dataset = result.dataset
    rows: list[Sequence[str]] = [("method", "stage", *COLUMNS)]
    for run in result.runs:
        for figures in run.stages.values():
            name = f"{run.detector} + {run.masks}"
            cells = map(percent, stage_cells(figures))
            rows.append((name, STAGE_TITLES[figures.stage], *cells))
    published = published_rows(dataset.conventions.published)
    for row in published:
        rows.append((row.method, f"published, {row.split}", *map(percent, row.cells)))
    return "\n".join(
        [
            f"{dataset.name}: {frame_count(result)}, percent",
            *_aligned(rows),
            *([] if published else ["Nothing is published for this dataset."]),
            *(f"note: {note}" for note in (*dataset.notes, *plateau_notes(result))),
            *(f"left out: {failure}" for failure in failed(result)),
        ]
    )


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _dataset(result: DatasetResult) -> dict[str, Any]:
    dataset = result.dataset
    return {
        "name": dataset.name,
        "folder": str(dataset.folder),
        "frames": len(dataset.frames),
        "track": dataset.conventions.track,
        "notes": [*dataset.notes, *plateau_notes(result)],
        "published": [asdict(row) for row in published_rows(dataset.conventions.published)],
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
        "pixel": asdict(figures.pixel),
        "components": components,
        "strict_f1": figures.strict_f1,
        "sweep": [asdict(point) for point in figures.sweep],
        "frames": [asdict(frame) for frame in figures.frames],
    }


def finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON lacks, by None."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
