"""All figures of one stage on one dataset, frame by frame, from the cached scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from objectomaly_ros.evaluation.cache import ScoreCache
from objectomaly_ros.evaluation.components import (
    TRACKS,
    ComponentAccumulator,
    ComponentMetrics,
    FrameComponents,
    frame_components,
)
from objectomaly_ros.evaluation.datasets import Conventions
from objectomaly_ros.evaluation.frame_files import read_labels
from objectomaly_ros.evaluation.pixel import (
    PixelAccumulator,
    PixelCurve,
    PixelMetrics,
    pixel_metrics,
    threshold_between,
)
from objectomaly_ros.evaluation.stages import ScoredFrame, Stage, load_stage

RECALLS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Pixel recalls whose thresholds the component F1 is also taken at."""
_CURVE_POINTS = 240

_Job = TypeVar("_Job")
_Done = TypeVar("_Done")
EachOf: TypeAlias = Callable[[Callable[[_Job], _Done], Sequence[_Job]], Iterable[_Done]]


@dataclass(frozen=True)
class FrameFigures:
    """What one frame contributes, at the dataset's best-F1 threshold.

    Attributes:
        name: of the frame.
        auprc: of this frame alone; NaN where it holds no anomaly.
        fpr95: of this frame alone; NaN likewise.
        f1: pixel F1; NaN where nothing is anomalous nor predicted.
        siou: mean sIoU of its ground-truth components; NaN where there are none.
        objects: its ground-truth components.
        false_components: predicted components of which less than a quarter lies on ground truth.
    """

    name: str
    auprc: float
    fpr95: float
    f1: float
    siou: float
    objects: int
    false_components: int


@dataclass(frozen=True)
class OperatingPoint:
    """Mean component F1 at one score threshold (`score > threshold`)."""

    recall: float
    threshold: float
    f1: float


@dataclass(frozen=True)
class StageFigures:
    """Everything measured of one stage on one dataset.

    Attributes:
        stage: which.
        pixel: pixel metrics of all frames together.
        components: component metrics at `pixel.best_f1_threshold`.
        strict_f1: mean component F1 with the official reading of the threshold, which takes the
            lowest predicted score itself, with `>`: objects whose plateau equals it are lost.
        curve: (T, 3) float64 recall, precision, false positive rate; thinned out for drawing.
        sweep: component F1 at other thresholds.
        frames: frame by frame.
    """

    stage: Stage
    pixel: PixelMetrics
    components: ComponentMetrics
    strict_f1: float
    curve: npt.NDArray[np.float64]
    sweep: tuple[OperatingPoint, ...]
    frames: tuple[FrameFigures, ...]


@dataclass(frozen=True)
class _Job2:
    cache: Path
    scored: ScoredFrame
    stage: Stage
    conventions: Conventions
    thresholds: tuple[float, ...]


def measure_stage(
    cache: ScoreCache,
    scored: Sequence[ScoredFrame],
    stage: Stage,
    conventions: Conventions,
    each: EachOf[_Job2, tuple[FrameFigures, list[FrameComponents]]] = map,
) -> StageFigures:
    """Measure one stage in two passes over the frames: pixels, then components.

    Memory does not grow with the number of frames, see `PixelAccumulator`.

    Args:
        cache: where the scores are.
        scored: the frames, not none.
        stage: which score.
        conventions: of the dataset.
        each: maps a function over jobs, in order, maybe in other processes.
    """
    accumulator = PixelAccumulator()
    for item in scored:
        labels = read_labels(item.frame.labels, conventions.label_values)
        accumulator.update(load_stage(cache, item, stage), labels)
    pixel, curve = accumulator.compute(), accumulator.curve()
    best = pixel.best_f1_threshold if pixel.anomaly_pixels else float("inf")
    strict = pixel.best_f1_level if pixel.anomaly_pixels else float("inf")
    points = _operating_points(curve)
    thresholds = (best, strict, *(threshold for _, threshold in points))
    jobs = [_Job2(cache.folder, item, stage, conventions, thresholds) for item in scored]
    sums = [ComponentAccumulator(t, conventions.track) for t in thresholds]
    frames = []
    for figures, components in each(_frame_figures, jobs):
        frames.append(figures)
        for accumulated, found in zip(sums, components, strict=True):
            accumulated.add(found)
    metrics = [accumulated.compute() for accumulated in sums]
    sweep = (
        OperatingPoint(recall, threshold, result.f1)
        for (recall, threshold), result in zip(points, metrics[2:], strict=True)
    )
    return StageFigures(
        stage,
        pixel,
        metrics[0],
        metrics[1].f1,
        _thinned(curve),
        tuple(sweep),
        tuple(frames),
    )


def _frame_figures(job: _Job2) -> tuple[FrameFigures, list[FrameComponents]]:
    labels = read_labels(job.scored.frame.labels, job.conventions.label_values)
    score = load_stage(ScoreCache(job.cache), job.scored, job.stage)
    limits = TRACKS[job.conventions.track]
    components = [frame_components(score > t, labels, limits) for t in job.thresholds]
    alone = pixel_metrics(score, labels)
    predicted = (score > job.thresholds[0]) & (labels != 255)
    found = int(np.count_nonzero(predicted & (labels == 1)))
    denominator = int(np.count_nonzero(predicted)) + alone.anomaly_pixels
    at_best = components[0]
    figures = FrameFigures(
        name=job.scored.frame.name,
        auprc=alone.auprc,
        fpr95=alone.fpr95,
        f1=2 * found / denominator if denominator else float("nan"),
        siou=float(at_best.siou.mean()) if at_best.siou.size else float("nan"),
        objects=int(at_best.siou.size),
        false_components=int(np.count_nonzero(at_best.ppv < 0.25)),
    )
    return figures, components


def _operating_points(curve: PixelCurve) -> list[tuple[float, float]]:
    """Recall and threshold, between two scores, at each of `RECALLS` that is told apart."""
    if not curve.level.size or not curve.true_positives[-1]:
        return []
    at = sorted({int(np.argmax(curve.recall >= recall)) for recall in RECALLS})
    return [
        (float(curve.recall[i]), threshold_between(curve.next_score[i], curve.level[i])) for i in at
    ]


def _thinned(curve: PixelCurve) -> npt.NDArray[np.float64]:
    if not curve.level.size:
        return np.empty((0, 3))
    recall, fpr = curve.recall, curve.fpr
    even = np.linspace(0, 1, _CURVE_POINTS)
    last = curve.level.size - 1
    at: Iterator[npt.NDArray[np.intp]] = iter(
        (np.searchsorted(recall, even), np.searchsorted(fpr, even**3), np.array([0, last]))
    )
    index = np.unique(np.clip(np.concatenate(list(at)), 0, last))
    return np.stack([recall[index], curve.precision[index], fpr[index]], axis=1)
