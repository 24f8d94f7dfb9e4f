"""Figures of a network on labelled folders: AuPRC, FPR95, thresholds, false alarms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
ScoreFunction = Callable[[U8], F32]
BINS = 1 << 16


@dataclass(frozen=True)
class Figures:
    """Pixel figures as fractions; the thresholds are scores."""

    auprc: float
    fpr95: float
    threshold_recall95: float
    threshold_best_f1: float
    best_f1: float


def figures(normal: npt.NDArray[np.int64], anomaly: npt.NDArray[np.int64]) -> Figures:
    """Compute the figures from histograms of scores in [0, 1] of normal and anomalous pixels."""
    fp, tp = np.cumsum(normal[::-1]), np.cumsum(anomaly[::-1])
    recall = tp / max(1, tp[-1])
    precision = tp / np.maximum(1, tp + fp)
    auprc = float(np.sum(np.diff(recall, prepend=0.0) * precision))
    at = int(np.argmax(recall >= 0.95))
    f1 = 2 * precision * recall / np.maximum(1e-9, precision + recall)
    best = int(np.argmax(f1))
    levels = np.arange(len(fp), 0, -1) - 1
    return Figures(
        auprc,
        float(fp[at] / max(1, fp[-1])),
        float(levels[at] / len(fp)),
        float(levels[best] / len(fp)),
        float(f1[best]),
    )


def histogram(score: F32, label: U8) -> npt.NDArray[np.int64]:
    """Count the scores, in [0, 1], of normal (row 0) and anomalous (row 1) pixels: (2, BINS)."""
    index = np.minimum((score * BINS).astype(np.int64), BINS - 1)
    return np.stack([np.bincount(index[label == value], minlength=BINS) for value in (0, 1)])


def read_pair(folder: Path, name: str, labels: str = "labels_masks") -> tuple[U8, U8]:
    """Read an RGB image and its label map."""
    image = cv2.cvtColor(cv2.imread(str(folder / "images" / name)), cv2.COLOR_BGR2RGB)
    label = cv2.imread(str(folder / labels / f"{Path(name).stem}.png"), cv2.IMREAD_UNCHANGED)
    return image, label


def names(folder: Path) -> list[str]:
    """Names of the images in `folder`/images, sorted."""
    return sorted(p.name for p in (folder / "images").glob("*.jpg"))


def evaluate(score: ScoreFunction, folder: Path, every: int = 1) -> Figures:
    """Score the frames of a street_ood folder (labels 0 normal, 1 anomaly, 255 ignore)."""
    total = np.zeros((2, BINS), np.int64)
    for name in names(folder)[::every]:
        image, label = read_pair(folder, name)
        total += histogram(score(image), label)
    return figures(total[0], total[1])


def false_alarms(
    score: ScoreFunction, folder: Path, threshold: float, class_names: tuple[str, ...], void: int
) -> dict[str, float]:
    """Share of the area above `threshold` on clean CamVid frames, over all and per class."""
    area, alarm = np.zeros(256, np.int64), np.zeros(256, np.int64)
    for name in names(folder):
        image, label = read_pair(folder, name, "labels")
        area += np.bincount(label.ravel(), minlength=256)
        alarm += np.bincount(label[score(image) > threshold], minlength=256)
    known = slice(0, void)
    result = {"all": float(alarm[known].sum() / area[known].sum())}
    ground = [class_names.index("road"), class_names.index("pavement")]
    result["ground"] = float(alarm[ground].sum() / area[ground].sum())
    for index, class_name in enumerate(class_names):
        result[class_name] = float(alarm[index] / max(1, area[index]))
    return result
