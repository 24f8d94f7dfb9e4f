"""Writes the figures as JSON, and a page that shows everything."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from objectomaly_ros.demo.accuracy import Accuracy
from objectomaly_ros.demo.replay import NODE
from objectomaly_ros.demo.source import Source
from objectomaly_ros.demo.timing import TIMES, Timing
from objectomaly_ros.evaluation.results import finite, percent
from objectomaly_ros.files.writing import open_replacing


def summarise(
    source: Source, rate: float, timing: Timing, accuracy: Accuracy | None
) -> dict[str, Any]:
    """Return all figures as plain numbers, None if undefined; `rate` is the replay's speed."""
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
            name: {f"p{p}": 1e3 * timing.percentile(name, p) for p in (50, 95)} for name in TIMES
        },
    }
    if accuracy is not None:
        summary["accuracy"] = asdict(accuracy)
    return finite(summary)  # type: ignore[no-any-return]


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
    if accuracy := summary.get("accuracy"):
        parts += ["<h2>Against the ground truth</h2>", *_accuracy_tables(accuracy)]
    parts += ["<h2>Frames and times</h2>", *_timing_table(summary)]
    for name, about in (
        ("latency.png", "Latency of every frame"),
        ("contact_sheet.png", "Some frames; the green outline is the truth"),
    ):
        picture = folder / name
        if picture.exists():
            data = base64.b64encode(picture.read_bytes()).decode()
            parts.append(f"<h2>{about}</h2><img src='data:image/png;base64,{data}' alt='{about}'>")
    page = folder / "index.html"
    with open_replacing(page, "w", encoding="utf-8") as file:
        file.write("\n".join(parts))
    return page


def write_summary(summary: dict[str, Any], path: Path) -> None:
    """Write the figures as JSON."""
    with open_replacing(path, "w", encoding="utf-8") as file:
        file.write(json.dumps(summary, indent=2) + "\n")


def headline(summary: dict[str, Any]) -> list[str]:
    """Return the lines that a terminal shows."""
    times, counters = summary["milliseconds"], summary["node_counters"]
    lines = [
        f"frames    {counters['received']} in, {summary['scores_out']} scored, "
        f"{summary['refined_frames']} refined, {counters['dropped']} dropped; "
        f"{_number(summary['rate_in_hz'], 1)} Hz in, {_number(summary['rate_out_hz'], 1)} Hz out",
        f"latency   p50 {_number(times['latency']['p50'])} ms, "
        f"p95 {_number(times['latency']['p95'])} ms (detector p50 "
        f"{_number(times['coarse']['p50'])} ms; masks, generated beside, p50 "
        f"{_number(times['mask_generation']['p50'])} ms)",
    ]
    if counters["dropped"]:
        share = 0.8 * summary["scores_out"] / max(1, counters["received"])
        slower = max(0.01, summary["replay_rate"] * share)
        lines.append(
            "          this machine was too slow for this recording; replay it slower: "
            f"--rate {slower:.2g}"
        )
    if accuracy := summary.get("accuracy"):
        coarse, refined = accuracy["coarse"], accuracy["refined"]
        found = sum(result["first_found_m"] is not None for result in accuracy["objects"])
        lines += [
            f"AuPRC, %  {percent(coarse['auprc'])} coarse, {percent(refined['auprc'])} refined; "
            f"FPR95 {percent(coarse['fpr95'])} coarse, {percent(refined['fpr95'])} refined "
            f"({accuracy['frames']} frames)",
            f"obstacles {found} of {len(accuracy['objects'])} unknown objects found; "
            f"{accuracy['false_obstacles']} of {accuracy['obstacles']} reports false",
        ]
    return lines


def _accuracy_tables(accuracy: dict[str, Any]) -> list[str]:
    scores = [
        [label, *(percent(accuracy[stage][name]) for name in ("auprc", "fpr95", "auroc"))]
        for label, stage in (
            ("before refinement (~/coarse_score)", "coarse"),
            ("after refinement (~/score)", "refined"),
        )
    ]
    objects = [
        [
            str(seen["truth_id"]),
            seen["name"],
            f"{seen['first_visible_m']:.0f} m",
            "never" if seen["first_found_m"] is None else f"{seen['first_found_m']:.0f} m",
            f"{seen['frames_found']} of {seen['frames']}",
            "" if seen["range_error_m"] is None else f"{seen['range_error_m']:.1f} m",
        ]
        for seen in accuracy["objects"]
    ]
    head = ["", "unknown object", "in view from", "found from", "found in frames under 30 m",
            "range error"]  # fmt: skip
    return [
        _table(["score", "AuPRC, %", "FPR95, %", "AuROC, %"], scores),
        _table(head, objects),
        f"<p>{accuracy['obstacles']} obstacles were reported over all frames, "
        f"{accuracy['false_obstacles']} of them touch no unknown object.</p>",
    ]


def _timing_table(summary: dict[str, Any]) -> list[str]:
    counts = summary["node_counters"]
    rows = [
        [name.replace("_", " "), _number(values["p50"], 1), _number(values["p95"], 1)]
        for name, values in summary["milliseconds"].items()
    ]
    return [
        f"<p>{summary['images_in_recording']} images in the recording; the node received "
        f"{counts['received']}, scored {counts['scored']}, dropped {counts['dropped']}, rejected "
        f"{counts['rejected']}; {summary['refined_frames']} scores were refined. "
        f"{_number(summary['rate_in_hz'], 1)} Hz in, "
        f"{_number(summary['rate_out_hz'], 1)} Hz out.</p>",
        _table(["", "p50, ms", "p95, ms"], rows),
    ]


def _table(head: list[str], rows: list[list[str]]) -> str:
    def line(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + line(head, "th") + "".join(line(row, "td") for row in rows) + "</table>"


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


_STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; max-width: 1280px; margin: 2em auto; padding: 0 1em;
       color: #222; }
h1, h2 { font-weight: 600; } h2 { margin-top: 1.6em; }
table { border-collapse: collapse; } th, td { padding: .25em .9em .25em 0; text-align: left; }
th { border-bottom: 1px solid #999; } td { border-bottom: 1px solid #e4e4e4; }
img, video { max-width: 100%; height: auto; } code { background: #f2f2f2; padding: 0 .2em; }
"""
