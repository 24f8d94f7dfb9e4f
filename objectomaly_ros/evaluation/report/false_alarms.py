"""The page of `objectomaly calibrate`: false obstacles a minute over the threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

_WIDTH, _HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 20, 52
_STYLE = """
body { margin: 24px auto; max-width: 820px; padding: 0 16px; color: #1d2530;
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { overflow-wrap: anywhere; }
text { font-size: 13px; fill: #5d6878; } .strong { fill: #1d2530; }
svg { width: 100%; height: auto; } td, th { padding: 2px 18px 2px 0; text-align: right; }
"""


@dataclass(frozen=True, eq=False)
class Rates:
    """What `calibrate` found.

    Attributes:
        detector: its name, weights and options.
        thresholds: (N,) ascending scores.
        counts: (N,) false obstacles on the drive at each of them.
        minutes: length of the drive.
        wanted: false obstacles a minute.
        threshold: for the wanted rate.
    """

    detector: str
    thresholds: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    minutes: float
    wanted: float
    threshold: float


def page(rates: Rates) -> str:
    """Return a self-contained HTML page."""
    rows = "".join(
        f"<tr><td>{threshold:.4g}</td><td>{count}</td><td>{count / rates.minutes:.2f}</td></tr>"
        for threshold, count in zip(rates.thresholds, rates.counts, strict=True)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>False obstacles of {escape(rates.detector)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>False obstacles of {escape(rates.detector)}</h1><p>{escape(summary(rates))}</p>"
        f"{_chart(rates)}<table><tr><th>threshold</th><th>false obstacles</th>"
        f"<th>a minute</th></tr>{rows}</table></body></html>\n"
    )


def summary(rates: Rates) -> str:
    """Say the result in a sentence or two."""
    minutes = rates.minutes
    length = f"{minutes:.1f} minutes" if minutes >= 1 else f"{60 * minutes:.0f} s"
    text = (
        f"threshold {rates.threshold:.4g} for {rates.wanted:g} false obstacles a minute, from "
        f"{length} of driving"
    )
    if rates.wanted * rates.minutes < 1:
        text += (
            f"; that is too short to see the rate (under 1 obstacle expected), give "
            f"{math.ceil(2 / rates.wanted)} minutes or more"
        )
    return text


def _chart(rates: Rates) -> str:
    """Draw the rate, on a logarithmic axis if there is more than a factor of 10."""
    low, high = float(rates.thresholds[0]), float(rates.thresholds[-1])
    low, high = min(low, rates.threshold), max(high, rates.threshold)
    span = high - low or 1.0
    values = rates.counts / rates.minutes
    floor = 10 ** math.floor(math.log10(min(rates.wanted, 1 / rates.minutes) / 2))
    top = 10 ** math.ceil(math.log10(max(values.max(), rates.wanted, floor * 10)))
    decades = round(math.log10(top / floor))

    def x_of(threshold: float) -> float:
        return _LEFT + (threshold - low) / span * (_WIDTH - _LEFT - _RIGHT)

    def y_of(rate: float) -> float:
        share = math.log10(max(rate, floor) / floor) / decades
        return _TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM)

    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="rate over threshold">']
    for power in range(decades + 1):
        rate = floor * 10**power
        y = y_of(rate)
        parts.append(f'<path stroke="#e6eaee" d="M{_LEFT} {y:.1f}H{right}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{rate:g}</text>')
    for value in np.linspace(low, high, 6):
        x = x_of(float(value))
        parts.append(f'<path stroke="#e6eaee" d="M{x:.1f} {_TOP}V{bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{value:.3g}</text>')
    line = " ".join(
        f"{x_of(float(threshold)):.1f},{y_of(float(rate)):.1f}"
        for threshold, rate in zip(rates.thresholds, values, strict=True)
    )
    chosen, wanted = x_of(rates.threshold), y_of(rates.wanted)
    side = ("end", -6) if chosen > _WIDTH / 2 else ("start", 6)
    parts += [
        f'<polyline fill="none" stroke="#0072b2" stroke-width="2" points="{line}"/>',
        f'<path stroke="#d55e00" stroke-dasharray="5 4" d="M{_LEFT} {wanted:.1f}H{right}"/>',
        f'<path stroke="#d55e00" d="M{chosen:.1f} {_TOP}V{bottom}"/>',
        f'<text class="strong" x="{chosen + side[1]:.1f}" y="{_TOP + 14}" text-anchor="{side[0]}">'
        f"threshold {rates.threshold:.4g}</text>",
        f'<text class="strong" x="{_LEFT + 6}" y="{wanted - 6:.1f}">wanted {rates.wanted:g}</text>',
        f'<text class="strong" x="{(_LEFT + right) / 2}" y="{_HEIGHT - 10}" text-anchor="middle">'
        "threshold</text>",
        f'<text class="strong" x="16" y="{(_TOP + bottom) / 2}" text-anchor="middle" '
        f'transform="rotate(-90 16 {(_TOP + bottom) / 2})">false obstacles a minute</text></svg>',
    ]
    return "".join(parts)
