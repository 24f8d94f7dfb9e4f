"""Score maps as 16-bit PNG, a third of the size of float32."""

from __future__ import annotations

import re

import cv2
import numpy as np

from objectomaly_ros.arrays.image_messages import imdecode
from objectomaly_ros.types import ScoreMap

_TOP = 65535
_FORMAT = re.compile(r"16UC1; png compressed ; score = (\S+) \+ (\S+) \* value")


def encode_score(score: ScoreMap) -> tuple[str, bytes]:
    """Encode a score map, (H, W) float32, finite, for a CompressedImage.

    Scores in 0..1 keep this range for all frames: 65535 is 1. Of others the frame's smallest is 0
    and its largest 65535; `format` names the scale, after what image_transport reads of it.

    Returns:
        format and data; the largest error is 1/131070 of the range.
    """
    low, high = float(score.min()), float(score.max())
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    step = (high - low) / _TOP or 1.0
    values = np.rint((score.astype(np.float64) - low) / step).astype(np.uint16)
    _, data = cv2.imencode(".png", values, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return f"16UC1; png compressed ; score = {low!r} + {step!r} * value", data.tobytes()


def decode_score(how: str, data: bytes) -> ScoreMap:
    """Return the score map of `encode_score`, (H, W) float32.

    Raises:
        ValueError: it is none.
    """
    found = _FORMAT.fullmatch(how)
    values = imdecode(data, cv2.IMREAD_UNCHANGED)
    if found is None or values.dtype != np.uint16 or values.ndim != 2:
        raise ValueError(f"it is no score map of 16 bits (its format says {how[:60]!r})")
    return (float(found[1]) + float(found[2]) * values.astype(np.float64)).astype(np.float32)
