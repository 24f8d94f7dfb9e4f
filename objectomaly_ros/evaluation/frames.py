"""Pairs of scores and labels, checked, for the metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from objectomaly_ros.types import ScoreMap

Labels: TypeAlias = npt.NDArray[np.uint8]
"""Ground truth of one frame, (H, W) uint8: 0 normal, 1 anomaly, 255 ignore."""

InstanceIds: TypeAlias = npt.NDArray[np.int32]
"""Ground-truth instances of one frame, (H, W) int32: an id above 0 each, 0 elsewhere."""

NORMAL, ANOMALY, IGNORE = 0, 1, 255
LABEL_NAMES = {"normal": NORMAL, "anomaly": ANOMALY, "ignore": IGNORE}


def check_frame(score: Any, labels: Any, name: str) -> tuple[ScoreMap, Labels]:
    """Return one frame as (H, W) float32 scores and (H, W) uint8 labels.

    Raises:
        ValueError: the shapes differ, labels are not 0, 1 or 255, or scores are no numbers or not
            finite. Under the label 255 a score may be anything.
    """
    score_map = np.asarray(score)
    label_map = np.asarray(labels)
    if score_map.ndim != 2 or label_map.ndim != 2:
        raise ValueError(
            f"{name}: a score and its labels must be (H, W), "
            f"got {score_map.shape} and {label_map.shape}"
        )
    if score_map.shape != label_map.shape:
        raise ValueError(
            f"{name}: the score is {score_map.shape} but its labels are {label_map.shape}; "
            "resize one to the other first"
        )
    if score_map.dtype.kind not in "fiub":
        raise ValueError(f"{name}: scores must be numbers, got dtype {score_map.dtype}")
    if not np.isin(label_map, (NORMAL, ANOMALY, IGNORE)).all():
        found = np.unique(label_map)
        raise ValueError(
            f"{name}: labels must be 0 (normal), 1 (anomaly) or 255 (ignore), found {found[:8]}"
        )
    score_map = score_map.astype(np.float32)
    label_map = label_map.astype(np.uint8)
    bad = int(np.count_nonzero(~np.isfinite(score_map) & (label_map != IGNORE)))
    if bad:
        raise ValueError(f"{name}: {bad} scores are NaN or infinite")
    return score_map, label_map


def paired_frames(
    scores: npt.ArrayLike | Iterable[npt.ArrayLike],
    labels: npt.ArrayLike | Iterable[npt.ArrayLike],
) -> Iterator[tuple[ScoreMap, Labels]]:
    """Walk scores and labels together, one checked frame at a time.

    Args:
        scores: (N, H, W) array, one (H, W) array, or an iterable of (H, W) frames of any sizes.
        labels: likewise.

    Raises:
        ValueError: as of `check_frame`, or one side has more frames than the other.
    """
    score_frames, label_frames = iter(_as_frames(scores)), iter(_as_frames(labels))
    end = object()
    index = 0
    while True:
        score, label = next(score_frames, end), next(label_frames, end)
        if score is end and label is end:
            return
        if score is end or label is end:
            longer, shorter = ("labels", "scores") if score is end else ("scores", "labels")
            raise ValueError(f"there are {index} frames of {shorter} but more of {longer}")
        yield check_frame(score, label, f"frame {index}")
        index += 1


def can_be_walked_twice(frames: object) -> bool:
    """Tell whether a second iteration starts anew (False for generators)."""
    return iter(_as_frames(frames)) is not frames


def _as_frames(frames: Any) -> Iterable[Any]:
    """Take one (H, W) array as a series of one frame."""
    if isinstance(frames, np.ndarray):
        return frames[None] if frames.ndim == 2 else frames
    return frames  # type: ignore[no-any-return]
