"""Instance AP of an anomaly score, as the OoDIS benchmark defines it.

Definitions: OoDIS (Nekrasov et al., "OoDIS: Anomaly Instance Segmentation Benchmark", 2024), whose
official code is the instance evaluation of Cityscapes with one class and its own smallest size:

- AP is the mean over the IoU thresholds 0.50, 0.55, ..., 0.95; AP50 is the first of them;
- a prediction is right if its IoU with an instance is above the threshold; of several predictions
  on one instance the most confident is right, and the others are false;
- instances of fewer than 10 pixels, anomalous pixels without an instance and ignored pixels (255)
  are no instances; any other prediction is left out, neither right nor false, if its share on
  these pixels is above the IoU threshold, and false otherwise;
- AP is the area under the precision-recall curve over the confidence, with straight lines between
  its points, from precision 1 at recall 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import numpy.typing as npt

from objectomaly_ros.arrays.checks import check_masks
from objectomaly_ros.evaluation.components import connected_components
from objectomaly_ros.evaluation.frames import (
    ANOMALY,
    IGNORE,
    InstanceIds,
    Labels,
    check_frame,
    paired_frames,
)
from objectomaly_ros.evaluation.pixel import best_threshold
from objectomaly_ros.types import Masks, ScoreMap

IOU_THRESHOLDS: tuple[float, ...] = tuple(round(0.5 + 0.05 * k, 2) for k in range(10))
"""AP is averaged over these ten IoU thresholds."""
MIN_PIXELS = 10
"""Smaller instances of the ground truth are ignored; smaller predicted components are none."""

_RIGHT, _FALSE, _LEFT_OUT = 1, 0, -1


@dataclass(frozen=True)
class PredictedInstances:
    """The predicted instances of one frame.

    Attributes:
        masks: (H, W) int64 ids, 1 to P and 0 elsewhere, or (P, H, W) bool, which may overlap.
        confidence: (P,) float64, higher is surer; any unit.
    """

    masks: npt.NDArray[np.int64] | Masks
    confidence: npt.NDArray[np.float64]


@dataclass(frozen=True)
class FrameInstances:
    """The matched instances of one frame.

    Attributes:
        truth: number of ground-truth instances that count.
        confidence: (P,) float64, of the predictions.
        outcome: (T, P) int8, at each IoU threshold 1 right, 0 false, -1 left out.
    """

    truth: int
    confidence: npt.NDArray[np.float64]
    outcome: npt.NDArray[np.int8]


@dataclass(frozen=True)
class InstanceMetrics:
    """Instance AP over all frames; fractions, 0 to 1.

    NaN without ground-truth instances, 0 without predictions.

    Attributes:
        ap: mean over the IoU thresholds.
        ap50: at the IoU threshold 0.5.
        iou_thresholds: 0.50, 0.55, ..., 0.95.
        ap_per_threshold: AP at each of them.
        truth: number of ground-truth instances that count.
        predicted: number of predicted instances.
        threshold: of the score, from which the predicted instances come.
    """

    ap: float
    ap50: float
    iou_thresholds: tuple[float, ...]
    ap_per_threshold: tuple[float, ...]
    truth: int
    predicted: int
    threshold: float


class InstanceAccumulator:
    """Instance AP of any number of frames, one frame at a time.

    Memory: about 20 bytes for each predicted instance; keeps no maps.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = float(threshold)
        self._frames: list[FrameInstances] = []

    def update(
        self,
        score: npt.ArrayLike,
        labels: npt.ArrayLike,
        truth: InstanceIds | None = None,
        predicted: PredictedInstances | None = None,
    ) -> FrameInstances:
        """Add one frame.

        Args:
            score: (H, W).
            labels: (H, W) of 0, 1, 255.
            truth: (H, W) ids; None takes the components of the anomaly label.
            predicted: the predictions; None takes `component_instances`.

        Raises:
            ValueError: shapes or numbers differ, a label is unknown, or a score or confidence is
                not finite.
        """
        name = f"frame {len(self._frames)}"
        score_map, label_map = check_frame(score, labels, name)
        if predicted is None:
            predicted = component_instances(score_map, label_map, self.threshold)
        for what, shape in (
            ("truth", np.shape(label_map if truth is None else truth)),
            ("predicted masks", predicted.masks.shape[-2:]),
        ):
            if shape != label_map.shape:
                raise ValueError(f"{name}: {what} of {shape} for labels of {label_map.shape}")
        masks = predicted.masks
        number = len(masks) if masks.ndim == 3 else int(masks.max(initial=0))
        if predicted.confidence.shape != (number,):
            raise ValueError(
                f"{name}: {number} predicted instances, but confidence of shape "
                f"{predicted.confidence.shape}"
            )
        if not np.isfinite(predicted.confidence).all():
            raise ValueError(f"{name}: a confidence is NaN or infinite")
        frame = frame_instances(predicted, label_map, truth)
        self.add(frame)
        return frame

    def add(self, frame: FrameInstances) -> None:
        """Add the matched instances of a frame, found in another process for instance."""
        self._frames.append(frame)

    def compute(self) -> InstanceMetrics:
        """Return the metrics of all frames so far; more frames may follow."""
        empty = np.empty((len(IOU_THRESHOLDS), 0), np.int8)
        truth = sum(frame.truth for frame in self._frames)
        confidence = np.concatenate([np.empty(0), *(f.confidence for f in self._frames)])
        outcome = np.concatenate([empty, *(f.outcome for f in self._frames)], axis=1)
        values = [average_precision(confidence, row, truth) for row in outcome]
        return InstanceMetrics(
            ap=float(np.mean(values)),
            ap50=values[0],
            iou_thresholds=IOU_THRESHOLDS,
            ap_per_threshold=tuple(values),
            truth=truth,
            predicted=confidence.size,
            threshold=self.threshold,
        )


def instance_metrics(
    scores: npt.ArrayLike | Iterable[npt.ArrayLike],
    labels: npt.ArrayLike | Iterable[npt.ArrayLike],
    threshold: float | None = None,
    truth: Iterable[InstanceIds] | None = None,
    predicted: Iterable[PredictedInstances] | None = None,
) -> InstanceMetrics:
    """Measure an anomaly score against ground-truth instances.

    Args:
        scores: (N, H, W) or (H, W) array, or an iterable of (H, W) frames; higher is more
            anomalous.
        labels: the same shapes; 0 normal, 1 anomaly, 255 ignore.
        threshold: predicted is `score > threshold`. None takes `PixelMetrics.best_f1_threshold`,
            or infinity if no pixel is anomalous; this reads the frames twice.
        truth: (H, W) ids of each frame; 0 on anomalous pixels means no instance. None takes the
            8-connected components of the anomaly label, so that touching objects count as one.
        predicted: the predictions of each frame, such as of `mask_instances`; None takes the
            components of `score > threshold`.

    Returns:
        fractions, see `InstanceMetrics`.

    Raises:
        ValueError: frames do not pair up, shapes differ, unknown labels, or scores not finite.
        TypeError: no threshold is given, and the frames come from a generator.
    """
    if threshold is None:
        threshold = best_threshold(scores, labels)
    accumulator = InstanceAccumulator(threshold)
    frames = zip_longest(
        paired_frames(scores, labels),
        () if truth is None else truth,
        () if predicted is None else predicted,
    )
    for number, (frame, ids, found) in enumerate(frames):
        ended = frame is None, ids is None, found is None
        if ended != (False, truth is None, predicted is None):
            raise ValueError(f"frame {number}: there are more frames of one kind than of another")
        accumulator.update(frame[0], frame[1], ids, found)
    return accumulator.compute()


def component_instances(score: ScoreMap, labels: Labels, threshold: float) -> PredictedInstances:
    """Return the components of a score as predicted instances.

    An instance is an 8-connected component of `score > threshold` with at least `MIN_PIXELS`
    pixels. Its confidence is its mean score, without ignored pixels, which may hold anything.

    Args:
        score: (H, W) float32.
        labels: (H, W) uint8 of 0, 1, 255.
        threshold: of the score.
    """
    ids = connected_components(score > threshold, MIN_PIXELS)
    counted = labels != IGNORE
    total = np.bincount(ids[counted], score[counted], int(ids.max(initial=0)) + 1)
    pixels = np.bincount(ids[counted], minlength=total.size)
    return PredictedInstances(ids, (total / np.maximum(pixels, 1))[1:])


def mask_instances(masks: Masks, score: ScoreMap, threshold: float) -> PredictedInstances:
    """Return the object masks of an image as predicted instances.

    An instance is a mask of at least `MIN_PIXELS` pixels with a mean score above `threshold`; the
    mean is its confidence. Of masks that overlap with an IoU above 0.5 the most confident stays.

    Args:
        masks: (N, H, W) bool.
        score: (H, W) float32, finite.
        threshold: of the mean score.

    Raises:
        ValueError: the masks have another size than the score.
        TypeError: the masks are not bool.
    """
    masks = check_masks(masks)
    if masks.shape[1:] != score.shape:
        raise ValueError(f"masks of {masks.shape[1:]} for a score of {score.shape}; resize them")
    pixels = np.count_nonzero(masks, axis=(1, 2))
    means = np.array([score[m].mean(dtype=np.float64) if m.any() else -np.inf for m in masks])
    kept: list[int] = []
    for index in np.argsort(-means, kind="stable"):
        if pixels[index] < MIN_PIXELS or not means[index] > threshold:
            continue
        shared = [np.count_nonzero(masks[index] & masks[other]) for other in kept]
        if all(2 * s <= pixels[index] + pixels[k] - s for s, k in zip(shared, kept, strict=True)):
            kept.append(int(index))
    return PredictedInstances(masks[kept], means[kept])


def frame_instances(
    predicted: PredictedInstances, labels: Labels, truth: InstanceIds | None = None
) -> FrameInstances:
    """Match predictions with the instances of a frame.

    Args:
        predicted: of the frame.
        labels: (H, W) uint8 of 0, 1, 255.
        truth: (H, W) ids; None takes the 8-connected components of the anomaly label.
    """
    codes, instances = _truth_codes(labels, truth)
    shared = _shared_pixels(predicted, codes, instances + 2)
    own = shared[:, 1:-1]  # pixels shared by prediction p and instance g, (P, G)
    predicted_size = shared.sum(axis=1)
    truth_size = np.bincount(codes.ravel(), minlength=instances + 2)[1:-1]
    iou = own / np.maximum(predicted_size[:, None] + truth_size - own, 1)
    ignored = shared[:, -1] / np.maximum(predicted_size, 1)
    best_first = np.argsort(-predicted.confidence, kind="stable")
    outcome = np.full((len(IOU_THRESHOLDS), predicted_size.size), _FALSE, np.int8)
    for row, limit in zip(outcome, IOU_THRESHOLDS, strict=True):
        row[ignored > limit] = _LEFT_OUT
        # Above an IoU of 0.5 a prediction matches one instance at most.
        matches, instance = np.nonzero(iou[best_first] > limit)
        _, first = np.unique(instance, return_index=True)
        row[best_first[matches]] = _FALSE
        row[best_first[matches[first]]] = _RIGHT
    some = predicted_size > 0
    return FrameInstances(instances, predicted.confidence[some], outcome[:, some])


def average_precision(
    confidence: npt.NDArray[np.float64], outcome: npt.NDArray[np.int8], truth: int
) -> float:
    """Return AP at one IoU threshold: a fraction, NaN without instances, 0 without predictions.

    Args:
        confidence: (P,) of all predictions.
        outcome: (P,) 1 right, 0 false, -1 left out.
        truth: number of instances.
    """
    if not truth:
        return float("nan")
    counted = outcome != _LEFT_OUT
    order = np.argsort(-confidence[counted], kind="stable")
    sure, right = confidence[counted][order], outcome[counted][order] == _RIGHT
    # Equal confidences are one point of the curve.
    last = np.flatnonzero(np.diff(sure, append=np.nan) != 0)
    found = np.cumsum(right)[last]
    recall = np.concatenate(([0.0], found / truth))
    precision = np.concatenate(([1.0], found / (last + 1)))
    return float(np.sum(np.diff(recall) * (precision[1:] + precision[:-1]) / 2))


def _truth_codes(labels: Labels, truth: InstanceIds | None) -> tuple[npt.NDArray[np.int64], int]:
    """Return (H, W) codes, 0 normal, 1 to G instances, G + 1 ignored; and G."""
    anomalous = labels == ANOMALY
    if truth is None:
        ids = connected_components(anomalous, 1)
    else:
        own = anomalous & (truth > 0)
        ids = np.zeros(labels.shape, np.int64)
        ids[own] = np.unique(truth[own], return_inverse=True)[1] + 1
    sizes = np.bincount(ids.ravel(), minlength=1)
    keep = sizes >= MIN_PIXELS
    keep[0] = False
    codes = np.where(keep, np.cumsum(keep), 0)[ids]
    instances = int(np.count_nonzero(keep))
    codes[(labels == IGNORE) | (anomalous & (codes == 0))] = instances + 1
    return codes, instances


def _shared_pixels(
    predicted: PredictedInstances, codes: npt.NDArray[np.int64], count: int
) -> npt.NDArray[np.int64]:
    """Return the pixels of every prediction on every code, (P, count) int64."""
    masks = predicted.masks
    if masks.ndim == 3:
        rows = [np.bincount(codes[mask], minlength=count) for mask in masks.astype(bool)]
        return np.array(rows, np.int64).reshape(len(rows), count)
    number = predicted.confidence.size + 1
    pairs = np.bincount((masks.astype(np.int64) * count + codes).ravel(), minlength=number * count)
    return pairs.reshape(number, count)[1:]
