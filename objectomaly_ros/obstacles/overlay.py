"""The overlay: score, mask, obstacles and text drawn over the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.obstacles.extraction import Region
from objectomaly_ros.types import Image, Mask, ScoreMap

_OPACITY = 0.65
_OUTLINE = (255, 255, 255)
_BOX = (255, 220, 0)
_TEXT = (255, 255, 255)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_TURBO = cv2.cvtColor(
    cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_TURBO),
    cv2.COLOR_BGR2RGB,
)
_SHARE = np.clip(np.linspace(-_OPACITY, _OPACITY, 256, dtype=np.float32), 0, None)


def score_colormap(score: ScoreMap, limits: tuple[float, float] | None = None) -> Image:
    """Colour an anomaly score, blue for low to red for high (Turbo).

    Args:
        score: (H, W) float32; NaN takes the colour of the lower limit.
        limits: scores of the first and the last colour; None for the smallest and the largest of
            this map. Give them for a video, which flickers otherwise.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    return cast(Image, cv2.applyColorMap(_levels(score, limits), _TURBO))


def draw_overlay(
    image: Image,
    score: ScoreMap | None,
    mask: Mask | None,
    regions: Sequence[Region] = (),
    ids: Sequence[int] = (),
    text: Sequence[str] = (),
    *,
    ranges: Sequence[float | None] = (),
    limits: tuple[float, float] | None = None,
) -> Image:
    """Draw a score, the obstacle mask and the obstacles over an image.

    The score is blended in with the colours of `score_colormap`: not at all up to the middle of its
    limits, and from there the more the higher it is. Lines and letters grow with the image.

    Args:
        image: (H, W, 3) uint8 RGB; left unchanged.
        score: (h, w) float32, or None.
        mask: (h, w) bool, outlined in white, or None.
        regions: obstacles, drawn as boxes; in pixels of `image`.
        ids: one per region, or none.
        text: lines for the upper left corner.
        ranges: metres to each region, None or NaN if unknown; or none.
        limits: of the score, see `score_colormap`.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = image.shape[:2]
    unit = max(1.0, min(height, width) / 360)
    line = max(1, round(unit))
    canvas = image.copy() if score is None else _blend(image, score, limits)
    if mask is not None:
        sized = _fit(mask.astype(np.uint8), (width, height), cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(sized, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(canvas, contours, -1, _OUTLINE, line)
    for index, region in enumerate(regions):
        x, y, w, h = region.box
        pad = line + 1
        cv2.rectangle(canvas, (x - pad, y - pad), (x + w - 1 + pad, y + h - 1 + pad), _BOX, line)
        label = _label(
            ids[index] if index < len(ids) else None, ranges[index] if index < len(ranges) else None
        )
        if label:
            _write(canvas, label, (x - pad, y - pad - 2 * line), _BOX, 0.4 * unit)
    for row, words in enumerate(text, start=1):
        _write(canvas, words, (4 * line, round(15 * unit * row)), _TEXT, 0.42 * unit)
    return canvas


def summary_line(ranges: Sequence[float | None], mask_age_frames: int | None) -> str:
    """Return one line on a frame: "2 obstacles, nearest 12 m; masks 3 frames old".

    Args:
        ranges: metres to each obstacle, None or NaN if unknown.
        mask_age_frames: of the masks that refined the score; None if none did.
    """
    count = len(ranges)
    words = f"{count or 'no'} obstacle{'' if count == 1 else 's'}"
    known = [metres for metres in ranges if metres is not None and np.isfinite(metres)]
    if known:
        words += f", nearest {_metres(min(known))}"
    if mask_age_frames is None:
        return f"{words}; not refined"
    return f"{words}; masks {mask_age_frames} frame{'' if mask_age_frames == 1 else 's'} old"


def _levels(score: ScoreMap, limits: tuple[float, float] | None) -> npt.NDArray[np.uint8]:
    """Map the score between the limits to 0..255, (H, W) uint8."""
    known = ~np.isnan(score)
    low, high = limits or (
        float(score.min(where=known, initial=np.inf)),
        float(score.max(where=known, initial=-np.inf)),
    )
    if limits and not low <= high:
        raise ValueError(f"the score's limits are {low}, {high}; the first must not be the larger")
    if not low < high < np.inf:  # a flat map, or NaN alone
        return np.zeros(score.shape, np.uint8)
    gain = 255.0 / (high - low)
    above = np.where(known, np.clip(score, low, high), low) - low  # never negative
    return cast(npt.NDArray[np.uint8], cv2.convertScaleAbs(above, alpha=gain))


def _blend(image: Image, score: ScoreMap, limits: tuple[float, float] | None) -> Image:
    """Blend the coloured score in; its share rises over the upper half of the limits."""
    height, width = image.shape[:2]
    levels = _fit(_levels(score, limits), (width, height), cv2.INTER_LINEAR)
    share = cv2.LUT(levels, _SHARE)
    colours = cv2.applyColorMap(levels, _TURBO)
    return cast(Image, cv2.blendLinear(colours, image, share, 1 - share))


def _fit(
    array: npt.NDArray[np.uint8], size: tuple[int, int], interpolation: int
) -> npt.NDArray[np.uint8]:
    if (array.shape[1], array.shape[0]) == size:
        return array
    return cast(npt.NDArray[np.uint8], cv2.resize(array, size, interpolation=interpolation))


def _label(track_id: int | None, range_m: float | None) -> str:
    parts = [_metres(range_m)] if range_m is not None and np.isfinite(range_m) else []
    if track_id is not None:
        parts.append(f"#{track_id}")
    return " ".join(parts)


def _metres(value: float) -> str:
    return f"{value:.1f} m" if value < 10 else f"{value:.0f} m"


def _write(
    canvas: Image, words: str, origin: tuple[int, int], colour: tuple[int, int, int], scale: float
) -> None:
    """Write text inside the image, on a darkened plate that keeps it readable."""
    thickness = max(1, round(scale * 1.5))
    (wide, tall), below = cv2.getTextSize(words, _FONT, scale, thickness)
    rim = 1 + thickness
    x = max(rim, min(origin[0] + rim, canvas.shape[1] - wide - rim))
    y = max(tall + rim, min(origin[1], canvas.shape[0] - below - rim))
    plate = canvas[y - tall - rim : y + below + rim, x - rim : x + wide + rim]
    plate //= 3
    cv2.putText(canvas, words, (x, y), _FONT, scale, colour, thickness, cv2.LINE_AA)
