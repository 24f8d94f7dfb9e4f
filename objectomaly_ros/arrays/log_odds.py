"""Scores in [0, 1] as log-odds, where evidence adds up."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_HIGHEST = 16.0  # of a float32 below 1


def log_odds(score: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """Return the log-odds of scores in [0, 1], limited to what float32 can tell apart from 1."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.clip(np.log(score) - np.log1p(-score), -_HIGHEST, _HIGHEST))
