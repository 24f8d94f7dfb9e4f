"""Pixel metrics of an anomaly score: AuPRC, FPR95, AuROC, best F1.

Definitions: SegmentMeIfYouCan (Chan et al., NeurIPS Datasets 2021), section 4 "pixel level".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from objectomaly_ros.evaluation.frames import (
    ANOMALY,
    NORMAL,
    can_be_walked_twice,
    check_frame,
    paired_frames,
)
from objectomaly_ros.evaluation.score_table import ScoreTable, level_bounds


@dataclass(frozen=True)
class PixelMetrics:
    """Pixel metrics over all frames together; fractions, 0 to 1, or NaN if undefined.

    Without anomalous pixels all are NaN. Without normal pixels `fpr95` and `auroc` are NaN, AuPRC
    and best F1 are 1. Ignored pixels (label 255) do not count.

    Attributes:
        auprc: area under the precision-recall curve (average precision: the sum of precision
            times the growth of recall, no interpolation).
        fpr95: lowest false positive rate at which at least 95 % of the anomalous pixels are found.
        auroc: area under the ROC curve.
        best_f1: largest F1 of all thresholds.
        best_f1_threshold: gives `best_f1` with `score > threshold`; lies midway between two scores.
            (The official threshold is a score itself: the strict comparison then loses an object
            on which the score is constant, as OASC makes it.)
        best_f1_level: the lowest score that is predicted at `best_f1`, with `score >= level`.
        anomaly_pixels: number of pixels with label 1.
        normal_pixels: number of pixels with label 0.
        resolution: 0 if every figure is exact; else the relative width of the score bins.
    """

    auprc: float
    fpr95: float
    auroc: float
    best_f1: float
    best_f1_threshold: float
    best_f1_level: float
    anomaly_pixels: int
    normal_pixels: int
    resolution: float


@dataclass(frozen=True)
class PixelCurve:
    """The operating points of a score, from the strictest to the loosest threshold.

    Attributes:
        level: (T,) float32, descending, the lowest score predicted at each point.
        true_positives: (T,) int64, anomalous pixels predicted anomalous.
        false_positives: (T,) int64, normal pixels predicted anomalous.
        next_score: (T,) float32, the highest score below each level (-inf after the last).
    """

    level: npt.NDArray[np.float32]
    true_positives: npt.NDArray[np.int64]
    false_positives: npt.NDArray[np.int64]
    next_score: npt.NDArray[np.float32]

    @property
    def precision(self) -> npt.NDArray[np.float64]:
        """The share of anomalous pixels among the predicted ones, (T,)."""
        return self.true_positives / (self.true_positives + self.false_positives)

    @property
    def recall(self) -> npt.NDArray[np.float64]:
        """The share of anomalous pixels that are predicted, (T,)."""
        return self.true_positives / max(1, int(self.true_positives[-1]))

    @property
    def fpr(self) -> npt.NDArray[np.float64]:
        """The false positive rate: the share of normal pixels that are predicted, (T,)."""
        return self.false_positives / max(1, int(self.false_positives[-1]))


class PixelAccumulator:
    """Pixel metrics of any number of frames, one frame at a time, in bounded memory.

    Every figure is exact (equal to scikit-learn on all pixels at once) up to `max_levels` (16.8
    million) distinct float32 scores on anomalous pixels and as many on normal ones; scores of the
    form 1 - softmax and float16 scores never have more. Beyond that scores are binned by dropping
    mantissa bits, see `ScoreTable` and `PixelMetrics.resolution` (2 bits: bins of 5e-7 relative
    width). 1,000 frames of 2048 x 1024 stay under 4 GB.
    """

    def __init__(self, max_levels: int = 1 << 24) -> None:
        self._anomaly = ScoreTable(max_levels)
        self._normal = ScoreTable(max_levels)
        self._frames = 0

    def update(self, score: npt.ArrayLike, labels: npt.ArrayLike) -> None:
        """Add one frame: score (H, W), higher is more anomalous; labels (H, W) of 0, 1, 255.

        Raises:
            ValueError: the shapes differ, a label is unknown, or a score is not finite.
        """
        score_map, label_map = check_frame(score, labels, f"frame {self._frames}")
        self._anomaly.add(score_map[label_map == ANOMALY])
        self._normal.add(score_map[label_map == NORMAL])
        self._frames += 1

    def curve(self) -> PixelCurve:
        """Return all operating points so far; empty arrays if no pixel counts."""
        for table in (
            self._anomaly,
            self._normal,
        ):  # flushes: dropped_bits is then final
            table.levels()
        bits = max(self._anomaly.dropped_bits, self._normal.dropped_bits)
        for table in (self._anomaly, self._normal):
            table.drop_bits(bits)
        anomaly_keys, anomaly_counts = self._anomaly.levels()
        normal_keys, normal_counts = self._normal.levels()
        keys = np.sort(np.concatenate((anomaly_keys, normal_keys)), kind="stable")
        keys = keys[np.concatenate((keys[:1] == keys[:1], keys[1:] != keys[:-1]))]
        low, high = level_bounds(keys, bits)
        positives, negatives = np.zeros(keys.size, np.int64), np.zeros(keys.size, np.int64)
        positives[np.searchsorted(keys, anomaly_keys)] = anomaly_counts
        negatives[np.searchsorted(keys, normal_keys)] = normal_counts
        below = np.concatenate((np.array([-np.inf], np.float32)[: keys.size], high[:-1]))
        return PixelCurve(
            level=low[::-1],
            true_positives=np.cumsum(positives[::-1]),
            false_positives=np.cumsum(negatives[::-1]),
            next_score=below[::-1],
        )

    def compute(self) -> PixelMetrics:
        """Return the metrics of all frames so far; more frames may follow."""
        curve = self.curve()
        bits = self._normal.dropped_bits
        resolution = 2.0 ** (bits - 23) if bits else 0.0
        return _metrics_of(curve, resolution)


def pixel_metrics(
    scores: npt.ArrayLike | Iterable[npt.ArrayLike],
    labels: npt.ArrayLike | Iterable[npt.ArrayLike],
) -> PixelMetrics:
    """Measure an anomaly score against ground truth, pixel by pixel, all frames together.

    Args:
        scores: (N, H, W) or (H, W) array, or an iterable of (H, W) frames; higher is more
            anomalous.
        labels: the same shapes; 0 normal, 1 anomaly, 255 ignore.

    Returns:
        fractions, see `PixelMetrics`; `PixelAccumulator` says when they are exact.

    Raises:
        ValueError: frames do not pair up, shapes differ, unknown labels, or scores not finite.
    """
    accumulator = PixelAccumulator()
    for score, label in paired_frames(scores, labels):
        accumulator.update(score, label)
    return accumulator.compute()


def best_threshold(
    scores: npt.ArrayLike | Iterable[npt.ArrayLike],
    labels: npt.ArrayLike | Iterable[npt.ArrayLike],
) -> float:
    """Return `PixelMetrics.best_f1_threshold`, or infinity if no pixel is anomalous.

    Its callers read the frames again.

    Raises:
        ValueError: see `pixel_metrics`.
        TypeError: the frames come from a generator.
    """
    if not (can_be_walked_twice(scores) and can_be_walked_twice(labels)):
        raise TypeError(
            "without a threshold the frames are read twice, which a generator cannot do: "
            "pass a threshold, or a list or array"
        )
    threshold = pixel_metrics(scores, labels).best_f1_threshold
    return float("inf") if np.isnan(threshold) else threshold


def _metrics_of(curve: PixelCurve, resolution: float) -> PixelMetrics:
    anomaly_pixels = int(curve.true_positives[-1]) if curve.level.size else 0
    normal_pixels = int(curve.false_positives[-1]) if curve.level.size else 0
    counts: dict[str, Any] = {
        "anomaly_pixels": anomaly_pixels,
        "normal_pixels": normal_pixels,
        "resolution": resolution,
    }
    nan = float("nan")
    if anomaly_pixels == 0:
        return PixelMetrics(nan, nan, nan, nan, nan, nan, **counts)

    precision, recall, fpr = curve.precision, curve.recall, curve.fpr
    auprc = float(np.sum(np.diff(recall, prepend=0.0) * precision))
    f1 = 2 * curve.true_positives / (curve.true_positives + curve.false_positives + anomaly_pixels)
    best = int(np.argmax(f1))
    if normal_pixels:
        # Compare integers: 0.95 is no binary fraction.
        found = int(np.argmax(100 * curve.true_positives >= 95 * anomaly_pixels))
        fpr95 = float(fpr[found])
        heights = (recall + np.concatenate(([0.0], recall[:-1]))) / 2
        auroc = float(np.sum(np.diff(fpr, prepend=0.0) * heights))
    else:
        fpr95 = auroc = nan
    level, below = curve.level[best], curve.next_score[best]
    return PixelMetrics(
        auprc=auprc,
        fpr95=fpr95,
        auroc=auroc,
        best_f1=float(f1[best]),
        best_f1_threshold=threshold_between(below, level),
        best_f1_level=float(level),
        **counts,
    )


def threshold_between(below: np.float32, level: np.float32) -> float:
    """Return a float32 threshold t, below <= t < level, midway if there is a number between.

    `score > t` predicts exactly the scores from `level` upwards, plateaus included.
    """
    if not np.isfinite(below):
        return float(np.nextafter(level, np.float32(-np.inf)))
    middle = np.float32((float(below) + float(level)) / 2)
    return float(middle if middle < level else below)
