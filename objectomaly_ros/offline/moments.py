"""The most anomalous moments of a stream, and its anomaly over time in few points."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

MOST = 10
APART_S = 2.0
"""Moments of one stream are so many seconds apart: neighbouring frames show the same."""

_POINTS = 400
_Floats = npt.NDArray[np.float64]


def most_anomalous(times: _Floats, anomaly: _Floats, most: int = MOST) -> list[int]:
    """Return the indices of the highest anomalies, highest first, `APART_S` from each other.

    Args:
        times: (N,) seconds.
        anomaly: (N,) of these frames.
        most: at most so many.
    """
    found: list[int] = []
    for index in np.argsort(-anomaly, kind="stable").tolist():
        if all(abs(times[index] - times[other]) >= APART_S for other in found):
            found.append(index)
            if len(found) == most:
                break
    return found


def curve(seconds: _Floats, anomaly: _Floats) -> list[tuple[float, float]]:
    """Return at most `_POINTS` points (seconds, anomaly): the highest of each span of frames.

    Args:
        seconds: (N,) since the beginning.
        anomaly: (N,).
    """
    if not len(seconds):
        return []
    bounds = np.unique(np.linspace(0, len(seconds), min(len(seconds), _POINTS) + 1).astype(int))
    tops = [begin + int(anomaly[begin:end].argmax()) for begin, end in pairwise(bounds)]
    return [(round(float(seconds[i]), 3), round(float(anomaly[i]), 4)) for i in tops]
