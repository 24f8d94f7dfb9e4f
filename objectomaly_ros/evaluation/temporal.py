"""Temporal consistency of an anomaly score on a clip: how much it changes along the motion.

The score of a frame is warped to the next one by optical flow and compared there, on the pixels
that both frames show:

- warping error: the mean squared difference (Lai et al., "Learning Blind Video Temporal
  Consistency", ECCV 2018), averaged over the pairs of frames;
- mask consistency: the IoU of the predicted masks `score > threshold`, averaged over the pairs
  (mTC of Varghese et al., "Unsupervised Temporal Consistency Metric for Video Segmentation in
  Highly-Automated Driving", CVPR Workshops 2020), here for the anomaly class alone: most pixels
  are normal, and their IoU is always near 1;
- occlusion: forward and backward flow disagree, by the rule of Sundaram et al. (ECCV 2010) that
  Lai et al. use, without their rule for motion boundaries.

Neither needs labels. A constant score is perfectly consistent: read them beside AuPRC.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.arrays.checks import check_image
from objectomaly_ros.evaluation.frames import IGNORE, Labels, check_frame
from objectomaly_ros.types import Image, Mask, ScoreMap
from objectomaly_ros.video.optical_flow import dense_flow, flow_image, pixel_grid

_MAX_SIDE = 640
"""The longer side of the flow is at most this many pixels."""


@dataclass(frozen=True)
class Motion:
    """Where the pixels of a frame were in the frame before it.

    Attributes:
        positions: (H, W, 2) float32, x and y in the frame before, in pixels.
        visible: (H, W) bool, the pixels that the frame before shows too.
    """

    positions: npt.NDArray[np.float32]
    visible: Mask


@dataclass(frozen=True)
class PairConsistency:
    """How a score changes from one frame to the next.

    Attributes:
        pixels: number of pixels that are compared.
        share: their share of the pixels without the label 255; NaN without any.
        error: mean squared difference, in squared units of the score; NaN without pixels.
        iou: of the predicted masks; NaN if both are empty.
        mean, variance: of the scores of the second frame on these pixels; NaN without any.
    """

    pixels: int
    share: float
    error: float
    iou: float
    mean: float
    variance: float


@dataclass(frozen=True)
class TemporalMetrics:
    """Temporal consistency over all pairs of consecutive frames; NaN where undefined.

    Attributes:
        mask_consistency: mean IoU, a fraction; without the pairs in which nothing is predicted.
        warping_error: mean over the pairs of the mean squared difference, in squared units of the
            score; 0 is perfect.
        relative_warping_error: the same for the score with a variance of 1, which makes scores of
            any range comparable: 0 is perfect, 2 is the value of unrelated frames.
        compared: mean share of the pixels without the label 255 that are compared.
        pairs: number of pairs with a pixel to compare.
        threshold: of the mask (`score > threshold`).
    """

    mask_consistency: float
    warping_error: float
    relative_warping_error: float
    compared: float
    pairs: int
    threshold: float


def temporal_consistency(
    images: Iterable[Image],
    scores: Iterable[npt.ArrayLike],
    threshold: float,
    labels: Iterable[npt.ArrayLike] | None = None,
) -> TemporalMetrics:
    """Measure how much an anomaly score changes along the motion of one clip.

    Memory: two frames at a time; generators are welcome.

    Args:
        images: (H, W, 3) uint8 RGB frames of one size, in the order of time.
        scores: (H, W) of each frame.
        threshold: predicted is `score > threshold`.
        labels: (H, W) of 0, 1, 255 of each frame; pixels of 255 are not compared. None compares
            all.

    Returns:
        see `TemporalMetrics`; NaN for fewer than two frames.

    Raises:
        ValueError: the frames do not pair up, their sizes differ, or a score is not finite.
        TypeError: an image is not uint8.
    """
    pairs: list[PairConsistency] = []
    before: tuple[Image, ScoreMap, Labels] | None = None
    labelled = () if labels is None else labels
    for number, (image, score, label) in enumerate(zip_longest(images, scores, labelled)):
        if image is None or score is None or (label is None) != (labels is None):
            raise ValueError(f"frame {number}: there are more frames of one kind than of another")
        image = check_image(image)
        if label is None:
            label = np.zeros(np.shape(score), np.uint8)
        frame = (image, *check_frame(score, label, f"frame {number}"))
        if frame[1].shape != image.shape[:2] or (before and before[0].shape != image.shape):
            raise ValueError(
                f"frame {number}: the image is {image.shape} and the score {frame[1].shape}; all "
                "frames of a clip need one size"
            )
        if before is not None:
            motion = motion_between(before[0], image)
            pairs.append(compare(before[1:], frame[1:], motion, threshold))
        before = frame
    return combine(pairs, threshold)


def motion_between(before: Image, image: Image) -> Motion:
    """Find where the pixels of `image` were in the frame `before` it, both (H, W, 3) uint8."""
    small_before, small = (flow_image(frame, 1.0, _MAX_SIDE) for frame in (before, image))
    flow = dense_flow()
    backward = flow.calc(small, small_before, None)  # type: ignore[call-overload]
    forward = flow.calc(small_before, small, None)  # type: ignore[call-overload]
    return motion_of_flow(backward, forward, (image.shape[0], image.shape[1]))


def motion_of_flow(
    backward: npt.NDArray[np.float32], forward: npt.NDArray[np.float32], shape: tuple[int, int]
) -> Motion:
    """Turn flow at any resolution, (h, w, 2), into the motion of frames of `shape`, (H, W).

    A pixel is visible in the frame before if its way back ends inside it, and the way forth from
    there comes back: |b + f|^2 <= 0.01 (|b|^2 + |f|^2) + 0.5, in pixels of the flow.
    """
    rows, columns = backward.shape[:2]
    positions = backward + pixel_grid((rows, columns))
    returned = cv2.remap(  # type: ignore[call-overload]
        forward, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    lengths = np.square(backward).sum(axis=2) + np.square(returned).sum(axis=2)
    agree = np.square(backward + returned).sum(axis=2) <= 0.01 * lengths + 0.5
    height, width = shape
    scaled = cv2.resize(backward, (width, height), interpolation=cv2.INTER_LINEAR)
    scaled *= np.array((width / columns, height / rows), np.float32)
    full = scaled + pixel_grid(shape)
    inside = ((full >= 0) & (full <= (width - 1, height - 1))).all(axis=2)
    near = cv2.resize(agree.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return Motion(full, inside & (near > 0))


def compare(
    before: tuple[ScoreMap, Labels],
    frame: tuple[ScoreMap, Labels],
    motion: Motion,
    threshold: float,
) -> PairConsistency:
    """Compare the scores of two frames along the motion between them.

    Args:
        before: score (H, W) float32 and labels (H, W) uint8 of the first frame.
        frame: the same of the second.
        motion: from the second frame to the first.
        threshold: of the masks.
    """
    score, labels = frame
    ignored = before[1] == IGNORE
    warped = _warped(np.where(ignored, np.float32(0), before[0]), motion, cv2.INTER_LINEAR)
    # Above 0 where the interpolation used an ignored pixel.
    spoilt = _warped(ignored.astype(np.float32), motion, cv2.INTER_LINEAR) > 0
    mask = _warped((before[0] > threshold).astype(np.uint8), motion, cv2.INTER_NEAREST) > 0
    own = labels != IGNORE
    valid = motion.visible & own & ~spoilt
    pixels, allowed = int(np.count_nonzero(valid)), int(np.count_nonzero(own))
    nan = float("nan")
    if not pixels:
        return PairConsistency(0, 0.0 if allowed else nan, nan, nan, nan, nan)
    values = score[valid].astype(np.float64)
    # Compared as float32, as for `mask`, which rounds a threshold such as 0.1.
    predicted, mask = score[valid] > threshold, mask[valid]
    union = int(np.count_nonzero(predicted | mask))
    return PairConsistency(
        pixels=pixels,
        share=pixels / allowed,
        error=float(np.square(values - warped[valid]).mean()),
        iou=int(np.count_nonzero(predicted & mask)) / union if union else nan,
        mean=float(values.mean()),
        variance=float(values.var()),
    )


def combine(pairs: Iterable[PairConsistency], threshold: float) -> TemporalMetrics:
    """Return the metrics of all pairs; `threshold` is that of their masks."""
    some = list(pairs)
    counted = [pair for pair in some if pair.pixels]
    error = _mean(pair.error for pair in counted)
    pixels = np.array([pair.pixels for pair in counted], np.float64)
    means = np.array([pair.mean for pair in counted])
    variances = np.array([pair.variance for pair in counted])
    relative = float("nan")
    if counted:
        # The variance of all pixels: within the pairs, and between their means.
        centre = np.average(means, weights=pixels)
        variance = float(np.average(variances + (means - centre) ** 2, weights=pixels))
        relative = error / variance if variance > 0 else relative
    return TemporalMetrics(
        mask_consistency=_mean(pair.iou for pair in counted if not np.isnan(pair.iou)),
        warping_error=error,
        relative_warping_error=relative,
        compared=_mean(pair.share for pair in some if not np.isnan(pair.share)),
        pairs=len(counted),
        threshold=float(threshold),
    )


def _warped(values: npt.NDArray[Any], motion: Motion, how: int) -> npt.NDArray[Any]:
    return cv2.remap(  # type: ignore[call-overload, no-any-return]
        values, motion.positions, None, how, borderMode=cv2.BORDER_REPLICATE
    )


def _mean(values: Iterable[float]) -> float:
    some = list(values)
    return sum(some) / len(some) if some else float("nan")
