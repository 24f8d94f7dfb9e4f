"""A virtual laser scan: the nearest contact point in each direction, and free road."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from objectomaly_ros.geometry.beams import Beams
from objectomaly_ros.geometry.placement import Placement

MARGIN_M = 0.01
"""Free road is so much nearer than range_max for readers that ignore infinity."""


def scan_ranges(
    beams: Beams,
    free: npt.NDArray[np.float64] | None,
    placements: Sequence[Placement],
    *,
    range_min: float,
    range_max: float,
    inf_is_valid: bool,
) -> npt.NDArray[np.float32]:
    """Return the ranges of a scan, one for each beam.

    Args:
        beams: of the view.
        free: free ranges in metres, one for each beam; None if the detector knows no road.
        placements: of the obstacles.
        range_min: nearer obstacles are put there, since readers drop them.
        range_max: farther obstacles are left out.
        inf_is_valid: free road is +inf, else `range_max` less MARGIN_M.

    Returns:
        (count,) float32: metres to the nearest obstacle; free road if it is seen all the way to
        `range_max`; NaN for all that is not known.
    """
    ranges = np.full(beams.count, np.nan)
    if free is not None:
        ranges[free >= range_max] = np.inf if inf_is_valid else range_max - MARGIN_M
    if placements:
        points = np.concatenate([placed.points for placed in placements])
        pixels = np.concatenate([placed.pixels for placed in placements])
        nearest = beams.nearest(points, pixels)
        hit = nearest <= range_max
        ranges[hit] = np.maximum(nearest[hit], range_min)
    return ranges.astype(np.float32)
