"""Figures of a network on labelled folders: AuPRC, FPR95, thresholds, false alarms."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from objectomaly_ros.detectors.embedded_net import CLASSES
from objectomaly_ros.evaluation.frames import Labels
from objectomaly_ros.evaluation.pixel import PixelAccumulator, threshold_between
from objectomaly_ros.types import Image, ScoreMap
from tools.labelled import names, read_labelled

ScoreFunction = Callable[[Image], ScoreMap]


@dataclass(frozen=True)
class Figures:
    """Pixel figures as fractions; the thresholds are scores."""

    auprc: float
    fpr95: float
    threshold_recall95: float
    threshold_best_f1: float
    best_f1: float


def evaluate(score: ScoreFunction, folder: Path, every: int = 1) -> Figures:
    """Score the frames of a street_ood folder (labels 0 normal, 1 anomaly, 255 ignore)."""
    return measure(score, (read_labelled(folder, name) for name in names(folder)[::every]))


def measure(score: ScoreFunction, frames: Iterable[tuple[Image, Labels]]) -> Figures:
    """Score images with their labels (0 normal, 1 anomaly, 255 ignore)."""
    accumulator = PixelAccumulator()
    for image, label in frames:
        accumulator.update(score(image), label)
    pixel, curve = accumulator.compute(), accumulator.curve()
    at = int(np.argmax(curve.recall >= 0.95))
    return Figures(
        pixel.auprc,
        pixel.fpr95,
        threshold_between(curve.next_score[at], curve.level[at]),
        pixel.best_f1_threshold,
        pixel.best_f1,
    )


def false_alarms(score: ScoreFunction, folder: Path, threshold: float) -> dict[str, float]:
    """Return the share of the area above `threshold` on CamVid frames, in all and by class."""
    area, alarm = np.zeros(256, np.int64), np.zeros(256, np.int64)
    for name in names(folder):
        image, label = read_labelled(folder, name, "labels")
        area += np.bincount(label.ravel(), minlength=256)
        alarm += np.bincount(label[score(image) > threshold], minlength=256)
    groups = {
        "all": range(len(CLASSES)),  # without void
        "ground": [CLASSES.index("road"), CLASSES.index("pavement")],
        **{name: [index] for index, name in enumerate(CLASSES)},
    }
    return {
        name: float(alarm[list(ids)].sum() / max(1, area[list(ids)].sum()))
        for name, ids in groups.items()
    }
