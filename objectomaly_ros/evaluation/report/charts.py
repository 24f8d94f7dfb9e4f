"""Line charts as inline SVG, so that the page needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

_WIDTH, _HEIGHT = 460, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 44
# Okabe and Ito's colours, distinct for colour-blind readers; dashes are for the stages.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
DASHES = ("5 4", "2 3", "")


@dataclass(frozen=True)
class Line:
    """One curve: x and y are (N,) float64 in 0..1."""

    name: str
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    colour: str
    dash: str = ""
    dots: bool = False


def chart(
    title: str,
    x_label: str,
    y_label: str,
    lines: Sequence[Line],
    *,
    x_range: tuple[float, float] = (0.0, 1.0),
    log_floor: float | None = None,
) -> str:
    """Draw lines on axes in percent; return an <svg> element.

    Args:
        title: for screen readers.
        x_label: of the horizontal axis.
        y_label: of the vertical axis, which spans 0 to 1.
        lines: the curves; points that are not finite are left out.
        x_range: span of the horizontal axis.
        log_floor: makes the horizontal axis logarithmic, from this value to 1.
    """
    low, high = (log_floor, 1.0) if log_floor else x_range

    def place_x(value: npt.ArrayLike) -> npt.NDArray[np.float64]:
        number = np.asarray(value, np.float64)
        if log_floor:
            share = np.log10(np.maximum(number, log_floor) / log_floor) / np.log10(1 / log_floor)
        else:
            share = (number - low) / (high - low)
        return np.asarray(_LEFT + share * (_WIDTH - _LEFT - _RIGHT))

    def place_y(value: npt.ArrayLike) -> npt.NDArray[np.float64]:
        span = _HEIGHT - _TOP - _BOTTOM
        return np.asarray(_TOP + (1 - np.asarray(value, np.float64)) * span)

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}" '
        'class="chart">'
    ]
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    for tick in np.linspace(0, 1, 6):
        y = float(place_y(tick))
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>')
        parts.append(
            f'<text x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{100 * tick:.0f}</text>'
        )
    if log_floor:
        count = round(-np.log10(log_floor))
        ticks = [10.0**-power for power in range(count, -1, -1)]
    else:
        ticks = [float(tick) for tick in np.linspace(low, high, 6)]
    for tick in ticks:
        x = float(place_x(tick))
        parts.append(f'<path class="grid" d="M{x:.1f} {_TOP}V{bottom}"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{100 * tick:.4g}</text>'
        )
    middle = (_TOP + bottom) / 2
    parts.append(
        f'<text class="label" x="{(_LEFT + right) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">'
        f"{escape(x_label)}</text>"
        f'<text class="label" x="14" y="{middle}" text-anchor="middle" '
        f'transform="rotate(-90 14 {middle})">{escape(y_label)}</text>'
    )
    for line in lines:
        good = np.isfinite(line.x) & np.isfinite(line.y) & (line.x >= (log_floor or -np.inf))
        xs, ys = place_x(line.x[good]), place_y(line.y[good])
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
        dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
        parts.append(
            f'<polyline class="curve" points="{points}" stroke="{line.colour}"{dash}>'
            f"<title>{escape(line.name)}</title></polyline>"
        )
        if line.dots:
            parts += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{line.colour}"/>'
                for x, y in zip(xs, ys, strict=True)
            ]
    return "".join((*parts, "</svg>"))


def legend(lines: Sequence[Line]) -> str:
    """Return the names of the lines with their colours and dashes, as HTML."""
    items = []
    for line in lines:
        dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
        items.append(
            '<span class="key"><svg viewBox="0 0 30 8" width="30" height="8">'
            f'<path d="M0 4H30" stroke="{line.colour}" stroke-width="2.4"{dash}/></svg>'
            f"{escape(line.name)}</span>"
        )
    return f'<p class="legend">{"".join(items)}</p>'
