"""The figures as JSON, and a small page that shows everything."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from objectomaly_ros.demo.accuracy import Accuracy
from objectomaly_ros.demo.replay import NODE
from objectomaly_ros.demo.source import Source
from objectomaly_ros.demo.timing import STAGES, Timing


def summarise(
    source: Source, rate: float, timing: Timing, accuracy: Accuracy | None
) -> dict[str, Any]:
    """All figures as plain numbers; undefined ones are None. `rate` is the replay's speed."""
    summary: dict[str, Any] = {
        "recording": str(source.bag),
        "image_topic": source.image_topic,
        "images_in_recording": source.frames,
        "seconds": source.duration_s,
        "replay_rate": rate,
        "received_by_topic": timing.received,
        "node_counters": timing.counters,
        "scores_out": timing.received.get(f"{NODE}/score", 0),
        "rate_in_hz": timing.rate_in_hz,
        "rate_out_hz": timing.rate_out_hz,
        "refined_frames": sum(frame.refined for frame in timing.frames),
        "milliseconds": {
            name: {f"p{p}": 1e3 * timing.percentile(name, p) for p in (50, 95)}
            for name in ("latency", "end_to_end", *STAGES, "mask_generation")
        },
    }
    if accuracy is not None:
        summary["accuracy"] = {
            "frames": accuracy.frames,
            "coarse": asdict(accuracy.coarse),
            "refined": asdict(accuracy.refined),
            "objects": [asdict(result) for result in accuracy.objects],
            "obstacles": accuracy.obstacles,
            "false_obstacles": accuracy.false_obstacles,
        }
    return _plain(summary)  # type: ignore[no-any-return]


def write_page(summary: dict[str, Any], folder: Path, video: Path | None) -> Path:
    """Write `folder`/index.html; pictures are inside it, only the video lies beside it."""
    parts = [
        "<!doctype html><meta charset=utf-8><title>objectomaly: a replayed drive</title>",
        "<meta name=viewport content='width=device-width'>",
        f"<style>{_STYLE}</style><h1>What the node found</h1>",
        f"<p>{escape(summary['recording'])}, topic {escape(summary['image_topic'])}, "
        f"{summary['seconds']:.1f} s, replayed through <code>refine_node</code> at "
        f"{summary['replay_rate']:g} times its pace.</p>",
    ]
    if video is not None:
        parts.append(
            f"<video controls loop muted autoplay src='{escape(video.name)}'></video>"
            "<p>Left: the image with score and obstacles. Right: <code>~/score</code>, "
            "blue low, red high.</p>"
        )
    accuracy = summary.get("accuracy")
    if accuracy:
        parts += ["<h2>Against the ground truth</h2>", _accuracy_table(accuracy)]
        parts.append(_objects_table(accuracy))
    parts += ["<h2>Frames and times</h2>", _timing_table(summary)]
    for name, about in (
        ("latency.png", "Latency of every frame"),
        ("contact_sheet.png", "Some frames; the green outline is the truth"),
    ):
        picture = folder / name
        if picture.exists():
            data = base64.b64encode(picture.read_bytes()).decode()
            parts.append(f"<h2>{about}</h2><img src='data:image/png;base64,{data}' alt='{about}'>")
    page = folder / "index.html"
    page.write_text("\n".join(parts), encoding="utf-8")
    return page


def write_summary(summary: dict[str, Any], path: Path) -> None:
    """Write the figures as JSON."""
    path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def headline(summary: dict[str, Any]) -> list[str]:
    """The figures that a terminal shows."""
    times = summary["milliseconds"]
    counters = summary["node_counters"]
    lines = [
        f"frames    {counters['received']} in, {summary['scores_out']} scored, "
        f"{summary['refined_frames']} refined, {counters['dropped']} dropped; "
        f"{_number(summary['rate_in_hz'], 1)} Hz in, {_number(summary['rate_out_hz'], 1)} Hz out",
        f"latency   p50 {_number(times['latency']['p50'], 0)} ms, "
        f"p95 {_number(times['latency']['p95'], 0)} ms (detector p50 "
        f"{_number(times['coarse']['p50'], 0)} ms; masks p50 "
        f"{_number(times['mask_generation']['p50'], 0)} ms, beside)",
    ]
    if counters["dropped"]:
        share = 0.8 * summary["scores_out"] / max(1, counters["received"])
        slower = max(0.01, summary["replay_rate"] * share)
        lines.append(
            "          this machine was too slow for this recording; replay it slower: "
            f"--rate {slower:.2g}"
        )
    accuracy = summary.get("accuracy")
    if accuracy:
        coarse, refined = accuracy["coarse"], accuracy["refined"]
        found = sum(result["first_found_m"] is not None for result in accuracy["objects"])
        lines += [
            f"AuPRC     {_percent(coarse['auprc'])} coarse, {_percent(refined['auprc'])} refined; "
            f"FPR95 {_percent(coarse['fpr95'])} coarse, {_percent(refined['fpr95'])} refined "
            f"({accuracy['frames']} frames)",
            f"obstacles {found} of {len(accuracy['objects'])} unknown objects found; "
            f"{accuracy['false_obstacles']} of {accuracy['obstacles']} reports false",
        ]
    return lines


def _accuracy_table(accuracy: dict[str, Any]) -> str:
    rows = [
        [label, _percent(m["auprc"]), _percent(m["fpr95"]), _percent(m["auroc"])]
        for label, m in (
            ("before refinement (~/coarse_score)", accuracy["coarse"]),
            ("after refinement (~/score)", accuracy["refined"]),
        )
    ]
    return _table(["score", "AuPRC", "FPR95", "AuROC"], rows)


def _objects_table(accuracy: dict[str, Any]) -> str:
    rows = [
        [
            str(o["truth_id"]),
            o["name"],
            f"{o['first_visible_m']:.0f} m",
            "never" if o["first_found_m"] is None else f"{o['first_found_m']:.0f} m",
            f"{o['frames_found']} of {o['frames']}",
            "" if o["range_error_m"] is None else f"{o['range_error_m']:.1f} m",
        ]
        for o in accuracy["objects"]
    ]
    head = ["", "unknown object", "in view from", "found from", "found in frames under 30 m",
            "range error"]  # fmt: skip
    total = (
        f"<p>{accuracy['obstacles']} obstacles were reported over all frames, "
        f"{accuracy['false_obstacles']} of them touch no unknown object.</p>"
    )
    return _table(head, rows) + total


def _timing_table(summary: dict[str, Any]) -> str:
    counts = summary["node_counters"]
    text = (
        f"<p>{summary['images_in_recording']} images in the recording; the node received "
        f"{counts['received']}, scored {counts['scored']}, dropped {counts['dropped']}, rejected "
        f"{counts['rejected']}; {summary['refined_frames']} scores were refined. "
        f"{_number(summary['rate_in_hz'], 1)} Hz in, "
        f"{_number(summary['rate_out_hz'], 1)} Hz out.</p>"
    )
    rows = [
        [name.replace("_", " "), _number(values["p50"], 1), _number(values["p95"], 1)]
        for name, values in summary["milliseconds"].items()
    ]
    return text + _table(["", "p50, ms", "p95, ms"], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    def line(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + line(head, "th") + "".join(line(row, "td") for row in rows) + "</table>"


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _plain(value: Any) -> Any:
    """Numbers that JSON knows: NaN and infinity become None."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


_STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; max-width: 1280px; margin: 2em auto; padding: 0 1em;
       color: #222; }
h1, h2 { font-weight: 600; } h2 { margin-top: 1.6em; }
table { border-collapse: collapse; } th, td { padding: .25em .9em .25em 0; text-align: left; }
th { border-bottom: 1px solid #999; } td { border-bottom: 1px solid #e4e4e4; }
img, video { max-width: 100%; height: auto; } code { background: #f2f2f2; padding: 0 .2em; }
"""
