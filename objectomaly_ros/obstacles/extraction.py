"""Obstacles of an anomaly score: hysteresis threshold, components, region of interest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.obstacles.components import Components
from objectomaly_ros.types import Mask, ScoreMap

ROI_CONTACT_SHARE = 0.3
"""Share of a component's contact edge that must lie in the region of interest."""

_NO_EDGE = np.empty((0, 2), np.int32)


@dataclass(frozen=True, eq=False)
class Region:
    """One obstacle in the image: an 8-connected component of an obstacle mask.

    Attributes:
        score: mean anomaly score over the region, in the detector's range.
        max_score: largest anomaly score in the region.
        box: bounding box x, y, width, height in pixels.
        area: number of pixels.
        contour: outer contour, (N, 2) int32 x, y, simplified to within 1 px.
        centroid: centre of gravity x, y in pixels.
        contact: contact edge, (M, 2) int32 x, y (`contact_edge`); empty if unknown.
        tops: rows of the region's highest pixels in the columns of `contact`, (M,) int32.
    """

    score: float
    max_score: float
    box: tuple[int, int, int, int]
    area: int
    contour: npt.NDArray[np.int32]
    centroid: tuple[float, float]
    contact: npt.NDArray[np.int32] = field(default_factory=_NO_EDGE.copy)
    tops: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))


def obstacle_mask(
    score: ScoreMap,
    high: float,
    *,
    low: float | None = None,
    min_area: int = 0,
    roi: Mask | None = None,
) -> Mask:
    """Threshold a score with hysteresis.

    An obstacle is an 8-connected component of `score > low` with at least one pixel `score > high`.
    Both comparisons are strict: OASC gives all pixels of an object one value, and a threshold equal
    to it drops the object. NaN is never an obstacle.

    The region of interest tells on which ground obstacles stand. It keeps or drops whole
    components, because the upper part of an obstacle reaches above the end of the road and the
    horizon. A component is kept if at least 30 % of its contact edge lies in `roi`. The share is
    below one half to keep an obstacle that has merged with clutter beside the road.

    Args:
        score: (H, W) float32.
        high: a component needs a pixel above this.
        low: the component's other pixels are above this; None for `high`.
        min_area: components with fewer pixels are dropped.
        roi: (H, W) bool, from `road_roi` or `polygon_roi`; None for everywhere.

    Returns:
        (H, W) bool.

    Raises:
        ValueError: `low` is above `high`, or `roi` has another size than `score`.
    """
    low = high if low is None else low
    if low > high:
        raise ValueError(
            f"the low threshold {low} is above the high one, {high}; lower it to at most {high}"
        )
    if roi is not None and roi.shape != score.shape:
        raise ValueError(
            f"the region of interest is {roi.shape} but the score is {score.shape}; "
            "make it at the score's size"
        )
    seeds = score > high
    if not seeds.any():
        return np.zeros(score.shape, np.bool_)
    found = Components(seeds if low == high else score > low)
    labels = found.labels
    keep = np.zeros(len(found.areas), np.bool_)
    keep[labels[seeds]] = True
    keep &= found.areas >= min_area
    if roi is not None:
        for label in np.flatnonzero(keep):
            x, y, w, h = found.boxes[label]
            allowed = roi[y : y + h, x : x + w]
            if not allowed.all():
                edge = contact_edge(labels[y : y + h, x : x + w] == label)
                keep[label] = allowed[edge[:, 1], edge[:, 0]].mean() >= ROI_CONTACT_SHARE
    return cast(Mask, keep.take(labels))


def find_regions(mask: Mask, score: ScoreMap, *, limit: int | None = None) -> list[Region]:
    """Return the 8-connected components of a mask, the largest first.

    Args:
        mask: (H, W) bool, from `obstacle_mask`.
        score: (H, W) float32, the score of the mask.
        limit: at most this many regions, to bound the time on a noisy score.

    Raises:
        ValueError: the two differ in size.
    """
    if mask.shape != score.shape:
        raise ValueError(
            f"the mask is {mask.shape} but the score is {score.shape}; they must agree"
        )
    found = Components(mask)
    regions = []
    order = 1 + np.argsort(-found.areas[1:], kind="stable")
    for label in order[:limit]:
        x, y, w, h = (int(v) for v in found.boxes[label])
        inside = found.labels[y : y + h, x : x + w] == label
        origin = np.array([x, y], np.int32)
        values = score[y : y + h, x : x + w][inside]
        edge = contact_edge(inside)
        regions.append(
            Region(
                score=float(values.mean(dtype=np.float64)),
                max_score=float(values.max()),
                box=(x, y, w, h),
                area=int(found.areas[label]),
                contour=_outer_contour(inside) + origin,
                centroid=(float(found.centroids[label, 0]), float(found.centroids[label, 1])),
                contact=edge + origin,
                tops=inside[:, edge[:, 0]].argmax(axis=0).astype(np.int32) + origin[1],
            )
        )
    return regions


def contact_edge(region: Mask) -> npt.NDArray[np.int32]:
    """Return the pixels of one obstacle, (H, W) bool, that touch the ground.

    They are the lowest pixels of its columns. Only they can be projected onto the ground plane: the
    pixels above show the obstacle's height, and would land behind it, up to the horizon. So would
    the lowest pixels of columns that hang in the air (a head, a branch, the flank of a ball). A
    column hangs if the edge drops by more than a quarter of the obstacle's height within as many
    columns.

    Returns:
        (M, 2) int32 x, y by ascending x; at most one pixel per column.
    """
    spanned = np.flatnonzero(region.any(axis=1))
    if not spanned.size:
        return _NO_EDGE.copy()
    occupied = region.any(axis=0)
    lowest = np.where(occupied, region.shape[0] - 1 - region[::-1].argmax(axis=0), -1)
    reach = max(2, int(spanned[-1] - spanned[0] + 1) // 4)
    window = np.ones((1, 2 * reach + 1), np.uint8)
    drop = cv2.dilate(lowest.astype(np.float32)[None], window)[0] - lowest
    columns = np.flatnonzero(occupied & (drop <= reach))
    return np.stack([columns, lowest[columns]], axis=1).astype(np.int32)


def _outer_contour(inside: Mask) -> npt.NDArray[np.int32]:
    """Return the outer contour of one component, (N, 2), simplified to within 1 px."""
    contours, _ = cv2.findContours(
        inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    outer = max(contours, key=len)
    return cast(npt.NDArray[np.int32], cv2.approxPolyDP(outer, 1.0, closed=True).reshape(-1, 2))
