"""Distances of obstacles from a depth image: robust over each column and over each obstacle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

NEAREST_M = 0.05
"""Smaller depths are holes: sensors write 0 into them."""

SCALE_STD = 0.01
"""Standard deviation of a depth sensor's scale, as a share of the distance."""

_HEIGHTS = np.linspace(0.05, 0.9, 12)  # of a column's samples, as shares of its height
_LOWEST = 6  # so many measured samples give a column's distance: the foot of what leans back
_FEWEST = 2
_KNOWN = 0.2  # share of an obstacle's columns that must be measured
_STEP = 0.06  # share of the distance by which neighbouring columns of one surface differ
_STEP_M = 0.15
_MARGIN = 4  # columns at both ends of an obstacle, where depth mixes with the background
_SHORT = 0.25  # share of the longest run of columns: shorter ones are edges and background


def column_distances(
    depth: npt.NDArray[np.float32],
    size: tuple[int, int],
    pixels: npt.NDArray[np.int32],
    tops: npt.NDArray[np.int32],
    reach: npt.NDArray[np.float64],
    counts: Sequence[int],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return how far away the columns of obstacles are, along the ground.

    A column takes the median of its lowest measured pixels. Columns whose distance leaps from their
    neighbours' are edges with flying pixels, or background, if they are few; they and unmeasured
    ones take the distance between the columns beside them.

    Args:
        depth: (H, W) metres along the optical axis, of any size; holes are 0, NaN or infinite.
        size: width and height of the image.
        pixels: contact pixels x, y, (M, 2), obstacle by obstacle.
        tops: rows of the obstacles' highest pixels in these columns, (M,).
        reach: distance along the ground for one metre of depth, of the contact pixels and of the
            highest ones, (2, M).
        counts: number of contact pixels of each obstacle.

    Returns:
        Distances from the camera in metres and their standard deviations, (M,) each; NaN for
        obstacles that are hardly measured.
    """
    distance, spread = _medians(_samples(depth, size, pixels, tops, reach))
    deviation = np.full(len(distance), np.nan)
    for end, count in zip(np.cumsum(counts), counts, strict=True):
        part = slice(end - count, end)
        margin = min(_MARGIN, count // 8)
        measured = np.isfinite(distance[part])
        measured[:margin] = measured[count - margin :] = False
        known = np.flatnonzero(measured)
        if len(known) < max(1, _KNOWN * count):
            distance[part] = np.nan
            continue
        noise = np.median(spread[part][known])
        known = known[_on_surface(distance[part][known])]
        columns = pixels[part, 0]
        distance[part] = np.interp(columns, columns[known], distance[part][known])
        deviation[part] = np.hypot(noise, SCALE_STD * distance[part])
    return distance, deviation


def _samples(
    depth: npt.NDArray[np.float32],
    size: tuple[int, int],
    pixels: npt.NDArray[np.int32],
    tops: npt.NDArray[np.int32],
    reach: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return distances at some heights of each column, (M, S), the lowest first; NaN in holes."""
    bottoms = pixels[:, 1]
    inner = (bottoms - tops >= 3).astype(np.int64)  # leaves out the pixels of both edges
    rows = bottoms[:, None] - _HEIGHTS * (bottoms - tops)[:, None]
    rows = np.clip(rows, (tops + inner)[:, None], (bottoms - inner)[:, None])
    x = ((pixels[:, 0] + 0.5) * (depth.shape[1] / size[0])).astype(np.int64)
    y = ((np.rint(rows) + 0.5) * (depth.shape[0] / size[1])).astype(np.int64)
    values = depth[y, x[:, None]].astype(np.float64)
    values[~((values > NEAREST_M) & (values < np.inf))] = np.nan
    return np.asarray(values * (reach[0][:, None] + _HEIGHTS * (reach[1] - reach[0])[:, None]))


def _medians(
    samples: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the median of each column's lowest measured samples, and their robust deviation."""
    known = np.isfinite(samples)
    known &= known.cumsum(axis=1) <= _LOWEST
    counts = known.sum(axis=1)
    lower, upper = np.maximum(counts - 1, 0) // 2, np.minimum(counts // 2, samples.shape[1] - 1)
    every = np.arange(len(samples))

    def median(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        ordered = np.sort(np.where(known, values, np.inf), axis=1)
        return np.asarray((ordered[every, lower] + ordered[every, upper]) / 2)

    middle = np.where(counts >= _FEWEST, median(samples), np.nan)
    with np.errstate(invalid="ignore"):
        return middle, 1.4826 * median(np.abs(samples - middle[:, None]))


def _on_surface(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return which columns lie on long enough runs without a leap."""
    leap = np.abs(np.diff(distance)) > np.maximum(_STEP_M, _STEP * distance[1:])
    run = np.concatenate([[0], np.cumsum(leap)])
    lengths = np.bincount(run)
    keep: npt.NDArray[np.bool_] = lengths[run] >= _SHORT * lengths.max()
    if lengths.max() * 4 < len(distance):  # nothing but noise
        middle = np.median(distance)
        keep = np.abs(distance - middle) <= np.median(np.abs(distance - middle))
    return keep
