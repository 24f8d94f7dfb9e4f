"""Results as JSON for machines and as a table for the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from objectomaly_ros import __version__
from objectomaly_ros.evaluation.datasets import INSTANCE_FOLDER
from objectomaly_ros.evaluation.measure import StageFigures
from objectomaly_ros.evaluation.published import about, published_rows
from objectomaly_ros.evaluation.runner import DatasetResult
from objectomaly_ros.evaluation.stages import STAGE_TITLES


@dataclass(frozen=True)
class Column:
    """A column of the tables: whether higher is better, and what its figure means."""

    higher: bool
    meaning: str


COLUMNS = {
    "AuPRC": Column(True, "area under the precision-recall curve of the pixels, at all thresholds"),
    "FPR95": Column(False, "share of the normal pixels above the threshold that finds 95 % of the "
                    "anomalous ones"),
    "AuROC": Column(True, "area under the ROC curve of the pixels, at all thresholds"),
    "pixel F1": Column(True, "the best F1 of the pixels; its threshold holds for all columns to "
                       "the right"),
    "sIoU": Column(True, "mean overlap of an object with the predicted regions that touch it "
                   "(SegmentMeIfYouCan)"),
    "PPV": Column(True, "mean share of a predicted region that lies on objects "
                  "(SegmentMeIfYouCan)"),
    "mean F1": Column(True, "F1 of objects found and regions predicted, mean over eleven sIoU "
                      "thresholds (SegmentMeIfYouCan)"),
    "AP": Column(True, "average precision of single objects: each predicted region is an instance "
                 "with its mean score as confidence; mean over the IoU thresholds 50 % to 95 % "
                 "(OoDIS)"),
    "AP50": Column(True, "AP at the IoU threshold 50 % (OoDIS)"),
}  # fmt: skip
"""The columns of the tables."""
CLIP_COLUMNS = {
    "mTC": Column(True, "temporal consistency: overlap of the predicted mask with that of "
                          "the frame before, moved along the optical flow; mean over the pairs of "
                          "frames in which something is predicted (mTC, Varghese et al. 2020)"),
    "warp error": Column(False, "temporal consistency: mean squared change of the score along the "
                         "optical flow (Lai et al. 2018) as a share of the score's variance; 0 for "
                         "a score that only moves, 200 % for unrelated frames"),
}  # fmt: skip
"""Their further columns for clips."""


def as_json(results: Sequence[DatasetResult]) -> dict[str, Any]:
    """Return everything measured; fractions, None if a figure is undefined."""
    content = {
        "objectomaly_ros": __version__,
        "unit": "fractions (1 is 100 %); null where a figure is undefined",
        "datasets": [_dataset(result) for result in results],
        "published": about(),
    }
    return dict(finite(content))


def as_text(results: Sequence[DatasetResult]) -> str:
    """Return a table of each dataset in percent, published figures below ours."""
    return "\n\n".join(_table(result) for result in results)


def columns(result: DatasetResult) -> dict[str, Column]:
    """Return the columns of a dataset's table."""
    clip = any(f.temporal for run in result.runs for f in run.stages.values())
    return COLUMNS | CLIP_COLUMNS if clip else COLUMNS


def stage_cells(figures: StageFigures) -> list[float]:
    """Return the figures of a table row, fractions, in the order of `columns`."""
    pixel, components, instances = figures.pixel, figures.components, figures.instances
    cells = [
        pixel.auprc, pixel.fpr95, pixel.auroc, pixel.best_f1,
        components.siou, components.ppv, components.f1, instances.ap, instances.ap50,
    ]  # fmt: skip
    if figures.temporal:
        cells += [figures.temporal.mask_consistency, figures.temporal.relative_warping_error]
    return cells


def percent(value: float | None) -> str:
    """Write a fraction as percent with two decimals, a dash if it is undefined."""
    return "-" if value is None or math.isnan(value) else f"{100 * value:.2f}"


def _plateau_notes(result: DatasetResult) -> list[str]:
    """Name the stages in which the official use of the threshold loses objects."""
    found = []
    for run in result.runs:
        for figures in run.stages.values():
            if figures.components.f1 - figures.strict_f1 > 0.0005:
                found.append(
                    f"{run.detector} + {run.masks}, {STAGE_TITLES[figures.stage]}: the best-F1 "
                    f"threshold {figures.pixel.best_f1_level:.6g} is the score of a plateau, which "
                    "the official code loses, since it predicts with '>' that value: mean F1 "
                    f"{percent(figures.strict_f1)} instead of {percent(figures.components.f1)}"
                )
    return found


def notes(result: DatasetResult) -> list[str]:
    """Return what readers of the figures must know."""
    found = [*result.dataset.notes, *_plateau_notes(result)]
    if not any(frame.instances for frame in result.dataset.frames):
        found.append(
            "AP, AP50: the instances are the 8-connected components of the anomaly label, for "
            f"there is no {INSTANCE_FOLDER}/; touching objects count as one"
        )
    temporal = [run.stages[run.last].temporal for run in result.runs if run.stages]
    if pairs := max((t.pairs for t in temporal if t), default=0):
        shares = [t.compared for t in temporal if t and t.pairs]
        found.append(
            f"{pairs} pairs of consecutive frames, {percent(min(shares))} % of their pixels are "
            "seen in both and compared"
        )
    return found


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
    heads = columns(result)
    rows: list[Sequence[str]] = [("method", "stage", *heads)]
    for run in result.runs:
        for figures in run.stages.values():
            name = f"{run.detector} + {run.masks}"
            cells = map(percent, stage_cells(figures))
            rows.append((name, STAGE_TITLES[figures.stage], *cells))
    published = published_rows(dataset.conventions.published)
    for row in published:
        rows.append(
            (row.method, f"published, {row.split}", *map(percent, map(row.cells.get, heads)))
        )
    return "\n".join(
        [
            f"{dataset.name}: {frame_count(result)}, percent",
            *_aligned(rows),
            *([] if published else ["Nothing is published for this dataset."]),
            *(f"note: {note}" for note in notes(result)),
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
        "notes": notes(result),
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
        "instances": asdict(figures.instances),
        "temporal": asdict(figures.temporal) if figures.temporal else None,
    }


def finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON lacks, by None."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
