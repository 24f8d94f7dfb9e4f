"""All figures of one stage on one dataset, from the cached scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

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
from objectomaly_ros.evaluation.frame_files import read_image, read_instances, read_labels
from objectomaly_ros.evaluation.frames import ANOMALY, IGNORE
from objectomaly_ros.evaluation.instances import (
    FrameInstances,
    InstanceAccumulator,
    InstanceMetrics,
    component_instances,
    frame_instances,
)
from objectomaly_ros.evaluation.pixel import (
    PixelAccumulator,
    PixelCurve,
    PixelMetrics,
    pixel_metrics,
    threshold_between,
)
from objectomaly_ros.evaluation.stages import ScoredFrame, Stage, load_stage
from objectomaly_ros.evaluation.temporal import (
    PairConsistency,
    TemporalMetrics,
    combine,
    compare,
    motion_between,
)

RECALLS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""The component F1 is also measured at the thresholds of these pixel recalls."""
_CURVE_POINTS = 240

MapJobs: TypeAlias = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""Maps a function over jobs in order, maybe in other processes."""


@dataclass(frozen=True)
class FrameFigures:
    """Figures of one frame at the dataset's best-F1 threshold.

    Attributes:
        name: of the frame.
        auprc, fpr95: of this frame alone; NaN without an anomaly.
        f1: pixel F1; NaN if nothing is anomalous or predicted.
        siou: mean sIoU of the ground-truth components; NaN without any.
        objects: number of ground-truth components.
        false_components: number of predicted components with a precision below 0.25.
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
    """All figures of one stage on one dataset.

    Attributes:
        stage: which.
        pixel: pixel metrics of all frames together.
        components: component metrics at `pixel.best_f1_threshold`.
        strict_f1: mean component F1 as the official code uses the threshold: `>` with the lowest
            predicted score itself, which loses objects whose plateau has that score.
        curve: (T, 3) float64 recall, precision, false positive rate; thinned out for drawing.
        sweep: component F1 at other thresholds.
        frames: the single frames.
        instances: instance AP of the components at `pixel.best_f1_threshold`.
        temporal: temporal consistency at this threshold; None if the dataset is no clip.
    """

    stage: Stage
    pixel: PixelMetrics
    components: ComponentMetrics
    strict_f1: float
    curve: npt.NDArray[np.float64]
    sweep: tuple[OperatingPoint, ...]
    frames: tuple[FrameFigures, ...]
    instances: InstanceMetrics
    temporal: TemporalMetrics | None = None


def measure_stage(
    cache: ScoreCache,
    scored: Sequence[ScoredFrame],
    stage: Stage,
    conventions: Conventions,
    each: MapJobs = map,
) -> StageFigures:
    """Measure one stage in two passes over the frames: pixels, then components.

    Memory does not grow with the number of frames, see `PixelAccumulator`.

    Args:
        cache: holds the scores.
        scored: the frames, at least one.
        stage: which score to measure.
        conventions: of the dataset.
        each: measures the components of the frames.
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
    sums = [ComponentAccumulator(t, conventions.track) for t in thresholds]
    instances = InstanceAccumulator(best)
    frames = []
    measured = partial(_frame_figures, cache.folder, stage, conventions, thresholds)
    for figures, components, matched in each(measured, scored):
        frames.append(figures)
        instances.add(matched)
        for accumulated, found in zip(sums, components, strict=True):
            accumulated.add(found)
    metrics = [accumulated.compute() for accumulated in sums]
    sweep = tuple(
        OperatingPoint(recall, threshold, result.f1)
        for (recall, threshold), result in zip(points, metrics[2:], strict=True)
    )
    return StageFigures(
        stage,
        pixel,
        metrics[0],
        metrics[1].f1,
        _thinned(curve),
        sweep,
        tuple(frames),
        instances.compute(),
    )


def measure_consistency(
    cache: ScoreCache,
    pairs: Sequence[tuple[ScoredFrame, ScoredFrame]],
    stages: Sequence[StageFigures],
    conventions: Conventions,
    each: MapJobs = map,
) -> list[StageFigures]:
    """Add temporal consistency to the figures of every stage, at the stage's own threshold.

    Memory does not grow with the number of frames.

    Args:
        cache: holds the scores.
        pairs: consecutive frames.
        stages: the figures of all frames.
        conventions: of the dataset.
        each: compares the pairs of frames.
    """
    thresholds = {figures.stage: figures.components.threshold for figures in stages}
    found: dict[Stage, list[PairConsistency]] = {stage: [] for stage in thresholds}
    job = partial(_pair_consistency, cache.folder, thresholds, conventions)
    for compared in each(job, pairs):
        for stage, pair in compared.items():
            found[stage].append(pair)
    return [replace(f, temporal=combine(found[f.stage], thresholds[f.stage])) for f in stages]


def _pair_consistency(
    folder: Path,
    thresholds: Mapping[Stage, float],
    conventions: Conventions,
    pair: tuple[ScoredFrame, ScoredFrame],
) -> dict[Stage, PairConsistency]:
    """Compare the scores of two consecutive frames; nothing if their sizes differ."""
    cache = ScoreCache(folder)
    before, image = (read_image(item.frame.image) for item in pair)
    if before.shape != image.shape:
        return {}
    motion = motion_between(before, image)
    labels = [read_labels(item.frame.labels, conventions.label_values) for item in pair]
    result: dict[Stage, PairConsistency] = {}
    for stage, threshold in thresholds.items():
        first, second = (
            (load_stage(cache, item, stage), label)
            for item, label in zip(pair, labels, strict=True)
        )
        result[stage] = compare(first, second, motion, threshold)
    return result


def _frame_figures(
    cache: Path,
    stage: Stage,
    conventions: Conventions,
    thresholds: Sequence[float],
    scored: ScoredFrame,
) -> tuple[FrameFigures, list[FrameComponents], FrameInstances]:
    """Measure one frame; return its components at every threshold, and its instances."""
    labels = read_labels(scored.frame.labels, conventions.label_values)
    score = load_stage(ScoreCache(cache), scored, stage)
    limits = TRACKS[conventions.track]
    components = [frame_components(score > t, labels, limits) for t in thresholds]
    ids = scored.frame.instances
    matched = frame_instances(
        component_instances(score, labels, thresholds[0]),
        labels,
        None if ids is None else read_instances(ids, labels),
    )
    alone = pixel_metrics(score, labels)
    predicted = (score > thresholds[0]) & (labels != IGNORE)
    found = int(np.count_nonzero(predicted & (labels == ANOMALY)))
    denominator = int(np.count_nonzero(predicted)) + alone.anomaly_pixels
    at_best = components[0]
    figures = FrameFigures(
        name=scored.frame.name,
        auprc=alone.auprc,
        fpr95=alone.fpr95,
        f1=2 * found / denominator if denominator else float("nan"),
        siou=float(at_best.siou.mean()) if at_best.siou.size else float("nan"),
        objects=int(at_best.siou.size),
        false_components=int(np.count_nonzero(at_best.ppv < 0.25)),
    )
    return figures, components, matched


def _operating_points(curve: PixelCurve) -> list[tuple[float, float]]:
    """Return the distinct points at `RECALLS`: recall, and a threshold between two scores."""
    if not curve.level.size or not curve.true_positives[-1]:
        return []
    at = sorted({int(np.argmax(curve.recall >= recall)) for recall in RECALLS})
    return [
        (float(curve.recall[i]), threshold_between(curve.next_score[i], curve.level[i])) for i in at
    ]


def _thinned(curve: PixelCurve) -> npt.NDArray[np.float64]:
    if not curve.level.size:
        return np.empty((0, 3))
    even = np.linspace(0, 1, _CURVE_POINTS)
    last = curve.level.size - 1
    points = (np.searchsorted(curve.recall, even), np.searchsorted(curve.fpr, even**3), [0, last])
    at = np.unique(np.clip(np.concatenate(points), 0, last))
    return np.stack([curve.recall[at], curve.precision[at], curve.fpr[at]], axis=1)
