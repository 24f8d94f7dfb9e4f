"""Draws the latency of every frame as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from objectomaly_ros.demo.timing import STAGES, Timing

_WIDTH, _HEIGHT = 1100, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 1010, 40, 340
_COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#b279a2")
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#333}.grid{stroke:#ddd}.axis{stroke:#666}"
    ".mark{stroke:#777;stroke-dasharray:5 4}.total{fill:none;stroke:#000}"
    ".new{stroke:#d00;stroke-width:2}"
)


def latency_svg(timing: Timing) -> str:
    """Return an SVG picture: the latency of every frame, its stages, and when masks were new.

    Args:
        timing: of at least one frame.
    """
    frames = timing.frames
    seconds = np.array([(frame.stamp_ns - frames[0].stamp_ns) / 1e9 for frame in frames])
    total = np.array([1e3 * frame.latency for frame in frames])
    stages = [np.nan_to_num([1e3 * getattr(frame, name) for frame in frames]) for name in STAGES]
    edges = _edges(seconds)
    top = 1.08 * max(float(np.nanmax(total, initial=1.0)), float(np.sum(stages, axis=0).max()))
    x = _Scale(edges[0], edges[-1], _LEFT, _RIGHT)
    y = _Scale(0.0, top, _BOTTOM, _TOP)

    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {_WIDTH} {_HEIGHT}' role='img'>",
        f"<style>{_STYLE}</style>",
        _text(_WIDTH / 2, 22, "from arrival in the node to publication, frame by frame", "middle"),
    ]
    for value in y.ticks():
        parts += [_line("grid", _LEFT, y.at(value), _RIGHT, y.at(value)),
                  _text(_LEFT - 8, y.at(value) + 4, f"{value:g}", "end")]  # fmt: skip
    below = np.zeros(len(frames))
    for values, colour in zip(stages, _COLOURS, strict=True):
        parts.append(_area(x, y, edges, below, below + values, colour))
        below = below + values
    points = " ".join(f"{x.at(s):.1f},{y.at(t):.1f}" for s, t in zip(seconds, total, strict=True))
    parts.append(f"<polyline class='total' points='{points}'/>")
    parts += [
        f"<circle cx='{x.at(s):.1f}' cy='{y.at(t):.1f}' r='1.6'/>"
        for s, t in zip(seconds, total, strict=True)
    ]
    for percent in (50, 95):
        value = timing.percentile("latency", percent) * 1e3
        parts += [_line("mark", _LEFT, y.at(value), _RIGHT, y.at(value)),
                  _text(_RIGHT + 8, y.at(value) + 4, f"p{percent} {value:.0f} ms",
                        "start")]  # fmt: skip
    ages = [frame.mask_age_frames for frame in frames]
    for index in range(1, len(ages)):
        if ages[index] >= 0 and (ages[index] < ages[index - 1] or ages[index - 1] < 0):
            at = x.at(seconds[index])
            parts.append(_line("new", at, _BOTTOM - 7, at, _BOTTOM + 7))
    parts.append(_line("axis", _LEFT, _BOTTOM, _RIGHT, _BOTTOM))
    for value in x.ticks():
        parts.append(_text(x.at(value), _BOTTOM + 22, f"{value:g}", "middle"))
    parts += [_text(_WIDTH / 2, _BOTTOM + 44, "time of acquisition, s", "middle"),
              f"<text transform='rotate(-90)' x='{-(_TOP + _BOTTOM) / 2}' y='16' "
              "text-anchor='middle'>ms</text>",
              *_legend()]  # fmt: skip
    return "\n".join([*parts, "</svg>"])


class _Scale:
    """Maps values to pixels along an axis."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self._low, self._high = low, high
        self._start, self._gain = start, (end - start) / (high - low)

    def at(self, value: float) -> float:
        return self._start + (value - self._low) * self._gain

    def ticks(self) -> list[float]:
        """Return about six round numbers."""
        rough = (self._high - self._low) / 6
        power = 10.0 ** math.floor(math.log10(rough))
        step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough)
        first = math.ceil(self._low / step)
        return [index * step for index in range(first, math.floor(self._high / step) + 1)]


def _edges(seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the borders between frames, one more than there are frames."""
    steps = np.diff(seconds)
    usual = float(np.median(steps)) if len(steps) and np.median(steps) > 0 else 0.1
    middle = (seconds[1:] + seconds[:-1]) / 2
    return np.concatenate([[seconds[0] - usual / 2], middle, [seconds[-1] + usual / 2]])


def _area(
    x: _Scale,
    y: _Scale,
    edges: npt.NDArray[np.float64],
    low: npt.NDArray[np.float64],
    high: npt.NDArray[np.float64],
    colour: str,
) -> str:
    def steps(values: npt.NDArray[np.float64]) -> list[str]:
        return [
            f"{x.at(edge):.1f},{y.at(value):.1f}"
            for index, value in enumerate(values)
            for edge in edges[index : index + 2]
        ]

    corners = " ".join([*steps(high), *reversed(steps(low))])
    return f"<polygon points='{corners}' fill='{colour}' fill-opacity='.8'/>"


def _legend() -> Sequence[str]:
    parts, left, level = [], _LEFT + 120.0, _HEIGHT - 24
    for name, colour in zip(STAGES, _COLOURS, strict=True):
        parts.append(f"<rect x='{left}' y='{level - 11}' width='22' height='12' fill='{colour}'/>")
        parts.append(_text(left + 28, level, name.replace("_", " "), "start"))
        left += 50 + 8 * len(name)
    parts += [_line("total", left, level - 5, left + 22, level - 5),
              _text(left + 28, level, "latency", "start"),
              _line("new", left + 120, level - 12, left + 120, level + 2),
              _text(left + 130, level, "newer masks", "start")]  # fmt: skip
    return parts


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f"<line class='{kind}' x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}'/>"


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}'>{words}</text>"
