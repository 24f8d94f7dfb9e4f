"""Component metrics of an anomaly score: sIoU, PPV and F1 over segments, not pixels.

Definitions: SegmentMeIfYouCan (Chan et al., NeurIPS Datasets 2021), section 4 "component level",
and its official code where the text is open:

- predicted is `score > threshold`, strictly; ignored pixels (255) are never predicted;
- components are 8-connected; predicted ones below the track's size limit are dropped; then
  ground-truth ones below their limit become ignored, which cuts them out of the predictions too;
- a ground-truth component is found (tp) if its sIoU reaches the sIoU threshold, else missed (fn); a
  predicted component is false (fp) if its precision is below that threshold.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.evaluation.frames import (
    ANOMALY,
    IGNORE,
    Labels,
    check_frame,
    paired_frames,
)
from objectomaly_ros.evaluation.pixel import best_threshold
from objectomaly_ros.types import Mask

SIOU_THRESHOLDS: tuple[float, ...] = tuple(float(t) for t in np.linspace(0.25, 0.75, 11))
"""F1 is averaged over these eleven sIoU thresholds."""


@dataclass(frozen=True)
class SizeLimits:
    """The fewest pixels of a predicted and of a ground-truth component."""

    predicted: int
    truth: int


TRACKS: dict[str, SizeLimits] = {
    "AnomalyTrack": SizeLimits(predicted=500, truth=100),
    "ObstacleTrack": SizeLimits(predicted=50, truth=10),
}
"""The official size limits of the SegmentMeIfYouCan tracks."""


@dataclass(frozen=True)
class FrameComponents:
    """The components of one frame.

    Attributes:
        siou: (G,) float64, adjusted IoU of every ground-truth component.
        truth_size: (G,) int64, their pixels.
        predicted_siou: (P,) float64, adjusted IoU of every predicted component.
        ppv: (P,) float64, precision of every predicted component: its share on ground truth.
        predicted_size: (P,) int64, their pixels.
    """

    siou: npt.NDArray[np.float64]
    truth_size: npt.NDArray[np.int64]
    predicted_siou: npt.NDArray[np.float64]
    ppv: npt.NDArray[np.float64]
    predicted_size: npt.NDArray[np.int64]


@dataclass(frozen=True)
class ComponentMetrics:
    """Component metrics over all components of all frames; fractions, 0 to 1, or NaN.

    Without ground-truth components `siou` is NaN, without predicted ones `ppv`. Without both, `f1`
    and its list are NaN too (the official code divides by zero); with one kind alone, `f1` is 0.

    Attributes:
        siou: mean adjusted IoU of the ground-truth components.
        ppv: mean precision of the predicted components.
        f1: mean F1 over the sIoU thresholds.
        siou_thresholds: 0.25, 0.30, ..., 0.75.
        f1_per_threshold: F1 at each of them.
        tp, fn, fp: numbers of components found, missed and false at each of them.
        predicted_siou: mean adjusted IoU of the predicted components.
        threshold: of the score (`score > threshold`).
        track: of the size limits.
        frames: the components of each frame.
    """

    siou: float
    ppv: float
    f1: float
    siou_thresholds: tuple[float, ...]
    f1_per_threshold: tuple[float, ...]
    tp: tuple[int, ...]
    fn: tuple[int, ...]
    fp: tuple[int, ...]
    predicted_siou: float
    threshold: float
    track: str
    frames: tuple[FrameComponents, ...]


class ComponentAccumulator:
    """Component metrics of any number of frames, one frame at a time; keeps no maps."""

    def __init__(self, threshold: float, track: str = "AnomalyTrack") -> None:
        self.threshold = float(threshold)
        self.track = track
        self._limits = _limits_of(track)
        self._frames: list[FrameComponents] = []

    def update(self, score: npt.ArrayLike, labels: npt.ArrayLike) -> FrameComponents:
        """Add one frame: score (H, W), labels (H, W) of 0, 1, 255; return its components.

        Raises:
            ValueError: the shapes differ, a label is unknown, or a score is not finite.
        """
        score_map, label_map = check_frame(score, labels, f"frame {len(self._frames)}")
        frame = frame_components(score_map > self.threshold, label_map, self._limits)
        self.add(frame)
        return frame

    def add(self, frame: FrameComponents) -> None:
        """Add the components of a frame, found in another process for instance."""
        self._frames.append(frame)

    def compute(self) -> ComponentMetrics:
        """Return the metrics of all frames so far; more frames may follow."""
        siou = _joined([f.siou for f in self._frames])
        ppv = _joined([f.ppv for f in self._frames])
        predicted_siou = _joined([f.predicted_siou for f in self._frames])
        limits = np.array(SIOU_THRESHOLDS)[:, None]
        tp = np.count_nonzero(siou >= limits, axis=1)
        fn = np.count_nonzero(siou < limits, axis=1)
        fp = np.count_nonzero(ppv < limits, axis=1)
        if siou.size or ppv.size:
            # Never divides by zero: a component is tp, fn or fp, unless it is a right prediction,
            # and then there is truth.
            f1 = 2 * tp / (2 * tp + fn + fp)
        else:
            f1 = np.full(len(SIOU_THRESHOLDS), np.nan)
        return ComponentMetrics(
            siou=_mean(siou),
            ppv=_mean(ppv),
            f1=float(f1.mean()),
            siou_thresholds=SIOU_THRESHOLDS,
            f1_per_threshold=tuple(float(value) for value in f1),
            tp=tuple(int(value) for value in tp),
            fn=tuple(int(value) for value in fn),
            fp=tuple(int(value) for value in fp),
            predicted_siou=_mean(predicted_siou),
            threshold=self.threshold,
            track=self.track,
            frames=tuple(self._frames),
        )


def component_metrics(
    scores: npt.ArrayLike | Iterable[npt.ArrayLike],
    labels: npt.ArrayLike | Iterable[npt.ArrayLike],
    threshold: float | None = None,
    track: str = "AnomalyTrack",
) -> ComponentMetrics:
    """Measure an anomaly score against ground truth, object by object.

    Args:
        scores: (N, H, W) or (H, W) array, or an iterable of (H, W) frames; higher is more
            anomalous.
        labels: the same shapes; 0 normal, 1 anomaly, 255 ignore.
        threshold: predicted is `score > threshold`. None takes `PixelMetrics.best_f1_threshold`,
            or infinity if no pixel is anomalous; this reads the frames twice.
        track: "AnomalyTrack" or "ObstacleTrack", for the size limits.

    Returns:
        fractions, see `ComponentMetrics`.

    Raises:
        ValueError: frames do not pair up, shapes differ, unknown labels, scores not finite, or an
            unknown track.
        TypeError: no threshold is given, and the frames come from a generator.
    """
    _limits_of(track)
    if threshold is None:
        threshold = best_threshold(scores, labels)
    accumulator = ComponentAccumulator(threshold, track)
    for score, label in paired_frames(scores, labels):
        accumulator.update(score, label)
    return accumulator.compute()


def frame_components(predicted: Mask, labels: Labels, limits: SizeLimits) -> FrameComponents:
    """Match predicted (H, W) bool with the components of labels (H, W) uint8 of 0, 1, 255."""
    predicted_ids = connected_components(predicted & (labels != IGNORE), limits.predicted)
    everything = connected_components(labels == ANOMALY, 1)
    truth_ids = _without_small(everything, limits.truth)
    predicted_ids[(everything > 0) & (truth_ids == 0)] = 0  # too small: ignored

    columns = int(predicted_ids.max(initial=0)) + 1
    rows = int(truth_ids.max(initial=0)) + 1
    pairs = np.bincount((truth_ids * columns + predicted_ids).ravel(), minlength=rows * columns)
    shared = pairs.reshape(rows, columns)
    overlap = shared[1:, 1:]  # pixels shared by truth g and prediction p, (G, P)
    truth_size = shared[1:].sum(axis=1)
    predicted_size = shared[:, 1:].sum(axis=0)
    kept = predicted_size > 0  # small truth may cover a whole prediction
    overlap, predicted_size = overlap[:, kept], predicted_size[kept]
    on_truth = overlap.sum(axis=0)
    return FrameComponents(
        siou=_adjusted_iou(overlap, truth_size, predicted_size),
        truth_size=truth_size,
        predicted_siou=_adjusted_iou(overlap.T, predicted_size, truth_size),
        ppv=on_truth / np.maximum(predicted_size, 1),
        predicted_size=predicted_size,
    )


def _adjusted_iou(
    overlap: npt.NDArray[np.int64],
    own_size: npt.NDArray[np.int64],
    other_size: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Return the IoU of each row with the union of the columns that touch it (sIoU).

    The union leaves out parts of the columns on other rows, so that a prediction over two objects
    counts against neither.
    """
    touches = overlap > 0
    intersection = overlap.sum(axis=1)
    on_rows = overlap.sum(axis=0)
    outside = touches @ (other_size - on_rows)  # parts of the touching columns on no row
    union = own_size + outside
    return np.asarray(intersection / np.maximum(union, 1), dtype=np.float64)


def connected_components(mask: Mask, min_size: int) -> npt.NDArray[np.int64]:
    """Number the 8-connected components of at least `min_size` pixels 1, 2, ...; 0 elsewhere."""
    _, ids = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    return _without_small(ids.astype(np.int64), min_size)


def _without_small(ids: npt.NDArray[np.int64], min_size: int) -> npt.NDArray[np.int64]:
    """Renumber without the components of fewer than `min_size` pixels."""
    sizes = np.bincount(ids.ravel())
    keep = sizes >= min_size
    keep[0] = False
    renumbered = np.where(keep, np.cumsum(keep), 0)
    return np.asarray(renumbered[ids], dtype=np.int64)


def _limits_of(track: str) -> SizeLimits:
    if track not in TRACKS:
        raise ValueError(f"unknown track {track!r}, choose one of {', '.join(TRACKS)}")
    return TRACKS[track]


def _joined(parts: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    return np.concatenate(parts) if parts else np.empty(0)


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else float("nan")
