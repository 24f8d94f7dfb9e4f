"""The page of a run: every recording with its anomaly over time, and its most anomalous moments."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np

from objectomaly_ros.arrays.image_messages import ImageDecoder
from objectomaly_ros.bags.messages import jpeg
from objectomaly_ros.files.writing import open_replacing

_TEMPLATE = Path(__file__).with_name("page.html")
_SIZE = 100  # of the curve, in both directions; the page stretches it
_TOP = 8
_MANY = 2000  # pictures; more of them would make a page that browsers do not open


def write_page(out: Path, summaries: Sequence[Path], failed: Mapping[str, str]) -> Path:
    """Write OUT/index.html, which holds everything but the bags that it links to.

    The pictures of one recording are in memory at a time. Those of many recordings are smaller.

    Args:
        out: folder of the run.
        summaries: files of the recordings that are done, see `tasks.Worker`.
        failed: the other recordings, and why.

    Raises:
        OSError: a summary cannot be read, or the page cannot be written.
    """
    found = [(path, read_summary(path)) for path in summaries]
    found.sort(key=lambda one: -_peak(one[1]))
    ranked = [summary for _, summary in found]
    moments = sum(len(s["moments"]) for r in ranked for s in r["streams"])
    faults = [
        f"<li>{escape(why)}" if path in why else f"<li><b>{escape(path)}</b>: {escape(why)}"
        for path, why in failed.items()
    ]
    page = out / "index.html"
    head, tail = _TEMPLATE.read_text(encoding="utf-8").split("$cards")
    head = Template(head).substitute(
        count=_count(len(ranked), "recording"),
        frames=_count(sum(s["frames"] for r in ranked for s in r["streams"]), "frame"),
        obstacles=_count(sum(s["obstacles"] for r in ranked for s in r["streams"]), "obstacle"),
        rows="\n".join(_row(number, summary) for number, summary in enumerate(ranked)),
        faults=f"<h2>Not done</h2><ul class=faults>{''.join(faults)}</ul>" if faults else "",
    )
    # A path need not be UTF-8.
    with open_replacing(page, "w", encoding="utf-8", errors="replace") as file:
        file.write(head)
        for number, (path, _) in enumerate(found):
            summary = read_summary(path, pictures=True)
            file.write(_card(number, summary, small=moments > _MANY) + "\n")
        file.write(tail)
    return page


def read_summary(path: Path, *, pictures: bool = False) -> dict[str, Any]:
    """Read what `tasks.Worker` has written about a recording.

    Args:
        path: of the file.
        pictures: whether its moments keep their pictures, which take most of it.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for stream in summary["streams"] if not pictures else ():
        for moment in stream["moments"]:
            del moment["picture"]
    return summary


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _length(seconds: float) -> str:
    """Return seconds as 45 s, 12:05 min or 1:02:05 h."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 2:
        return f"{seconds:.1f} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def _peak(summary: dict[str, Any]) -> float:
    return max((s["peak"] for s in summary["streams"] if s["peak"] is not None), default=-1e30)


def figures(summary: dict[str, Any]) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Return the length in s, frames, obstacles and peak of a recording, and how they are shown."""
    streams = summary["streams"]
    values = (
        max(s["seconds"] for s in streams),
        sum(s["frames"] for s in streams),
        sum(s["obstacles"] for s in streams),
        _peak(summary),
    )
    return values, (_length(values[0]), f"{values[1]:,}", f"{values[2]:,}", f"{values[3]:.3f}")


def _row(number: int, summary: dict[str, Any]) -> str:
    values, shown = figures(summary)
    cells = "".join(f"<td data-v='{v}'>{s}" for v, s in zip(values, shown, strict=True))
    return f"<tr><th><a href='#r{number}'>{escape(summary['recording'])}</a>{cells}"


def _card(number: int, summary: dict[str, Any], *, small: bool) -> str:
    name = summary["recording"]
    parts = [
        f"<section id='r{number}'><h2>{escape(name)}</h2>",
        f"<p class=soft>{escape(summary['path'])} → <a href='{quote(name)}/'>{escape(name)}/</a>",
    ]
    if summary["damage"]:
        parts.append(f"<p class=warning>Only a part could be read: {escape(summary['damage'])}")
    for place, stream in enumerate(summary["streams"]):
        length = _length(stream["seconds"])
        title = f"{stream['topic']}: {_count(stream['frames'], 'frame')} in {length}"
        parts.append(f"<h3>{escape(title)}</h3>")
        if stream["unreadable"]:
            why = f"{_count(stream['unreadable'], 'image')} left out: {stream['problem']}"
            parts.append(f"<p class=warning>{escape(why)}")
        if stream["ranges"]:
            parts.append(f"<p class=soft>{escape(stream['ranges'])}")
        anchor = f"r{number}-{place}"
        parts.append(_plot(stream, summary["threshold"], anchor))
        moments = (
            _moment(name, stream, moment, f"{anchor}-{rank}", small=small)
            for rank, moment in enumerate(stream["moments"])
        )
        parts.append(f"<div class=moments>{''.join(moments)}</div>")
    return "".join([*parts, "</section>"])


def _plot(stream: dict[str, Any], threshold: float, anchor: str) -> str:
    """Draw the anomaly of a stream over time as SVG; its moments are links."""
    points = stream["curve"]
    if not points:
        return ""
    end: float = max(points[-1][0], 1e-3)
    values = [value for _, value in points] + [threshold]
    low: float = min(0.0, *values) if min(values) > -1 else min(values)
    high: float = max(values) + 0.05 * (max(values) - low or 1)

    def x(second: float) -> float:
        return _SIZE * second / end

    def y(value: float) -> float:
        return _SIZE - (_SIZE - _TOP) * (value - low) / (high - low)

    line = " ".join(f"{x(second):.2f},{y(value):.1f}" for second, value in points)
    level = y(threshold)
    parts = [
        f"<div class=plot><svg viewBox='0 0 {_SIZE} {_SIZE}' preserveAspectRatio=none role=img>",
        "<title>anomaly over time</title>",
        f"<polygon class=area points='0,{_SIZE} {line} {_SIZE},{_SIZE}'/>",
        f"<polyline class=curve points='{line}'/>",
        f"<line class=level x1=0 x2={_SIZE} y1={level:.1f} y2={level:.1f} /></svg>",
    ]
    for rank, moment in enumerate(stream["moments"]):
        parts.append(
            f"<a href='#{anchor}-{rank}' title='{_length(moment['second'])}' "
            f"style='left:{x(moment['second']):.2f}%;top:{y(moment['anomaly']):.1f}%'></a>"
        )
    parts.append(
        f"</div><p class='soft axis'><span>0 s</span><span>- - threshold {threshold:.2f}</span>"
        f"<span>{_length(end)}</span>"
    )
    return "".join(parts)


def _moment(
    name: str, stream: dict[str, Any], moment: dict[str, Any], anchor: str, *, small: bool
) -> str:
    seconds, rest = divmod(moment["stamp_ns"], 1_000_000_000)
    found = [
        f"#{number}" if metres is None else f"#{number} ({metres:.1f} m)"
        for number, metres in zip(moment["obstacles"], moment["ranges"], strict=True)
    ]
    what = f"obstacle{'s' if found[1:] else ''} {', '.join(found)}" if found else "no obstacle"
    about = f"{_length(moment['second'])}, {what}"
    picture = _smaller(moment["picture"]) if small else moment["picture"]
    play = f"ros2 bag play {shlex.quote(name)} --start-offset {max(0.0, moment['second'] - 1):.1f}"
    return (
        f"<figure id='{anchor}' data-time={moment['second']} data-anomaly={moment['anomaly']}>"
        f"<img loading=lazy src='data:image/jpeg;base64,{picture}' alt='{escape(about)}'>"
        f"<figcaption><b>{moment['anomaly']:.3f}</b> at {escape(about)}<br>"
        f"<a href='#{anchor}'>{escape(stream['topic'])} @ {seconds}.{rest:09}</a><br>"
        f"<code>{escape(play)}</code></figcaption></figure>"
    )


def _smaller(picture: str) -> str:
    """Return a JPEG in base64 at half its size, which is how wide the page shows it."""
    image = ImageDecoder().decode_picture(base64.b64decode(picture))
    half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return base64.b64encode(jpeg(np.asarray(half, np.uint8), 70)).decode()
