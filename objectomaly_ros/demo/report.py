"""Writes the figures as JSON, and a page that shows everything."""

from __future__ import annotations

import base64
import json
import os
import platform
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from objectomaly_ros.demo.accuracy import Accuracy
from objectomaly_ros.demo.replay import NODE, image_topic
from objectomaly_ros.demo.source import Source
from objectomaly_ros.demo.timing import TIMES, Timing
from objectomaly_ros.evaluation.results import finite, percent
from objectomaly_ros.files.writing import open_replacing

_TOLERATED = 0.025  # share of images without a score


def summarise(
    source: Source, rate: float, timing: Timing, accuracy: Accuracy | None
) -> dict[str, Any]:
    """Return all figures as plain numbers, None if undefined; `rate` is the replay's speed."""
    summary: dict[str, Any] = {
        "recording": str(source.bag),
        "image_topic": source.image_topic,
        "images_in_recording": source.frames,
        "stamps_from_log": source.stamps_from_log,
        "seconds": source.duration_s,
        "replay_rate": rate,
        "processor": processor(),
        "received_by_topic": timing.received,
        "node_counters": timing.counters,
        "detector_adapted": timing.adapted,
        "scores_out": timing.received.get(f"{NODE}/score", 0),
        "rate_in_hz": timing.rate_in_hz,
        "rate_out_hz": timing.rate_out_hz,
        "frames_lost": _lost(source, timing),
        "refined_frames": sum(frame.refined for frame in timing.frames),
        "milliseconds": {
            name: {f"p{p}": 1e3 * timing.percentile(name, p) for p in (50, 95)} for name in TIMES
        },
    }
    if accuracy is not None:
        summary["accuracy"] = asdict(accuracy)
    return finite(summary)  # type: ignore[no-any-return]


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def processor() -> str:
    """Return the processor's name and the cores that this process may use."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    name = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), name)
    cores = usable_cores()
    return f"{cores} core{'' if cores == 1 else 's'} of {name}"


def _lost(source: Source, timing: Timing) -> int:
    """Return how many of the replayed images have no score."""
    scores = timing.received.get(f"{NODE}/score", 0)
    replayed = timing.received.get(image_topic(source), 0) if source.partial else source.frames
    return max(0, replayed - scores)


def advice(summary: dict[str, Any]) -> str | None:
    """Return what to do if the machine was too slow; None if it was not."""
    scores, lost, adapted = (
        summary[name] for name in ("scores_out", "frames_lost", "detector_adapted")
    )
    told = []
    if lost > _TOLERATED * (scores + lost):
        told.append(f"{lost} of {scores + lost} images have no score.")
    if adapted:
        told.append(f"The detector was made quicker ({adapted}), which costs accuracy.")
    if not told:
        return None
    slower = max(0.01, summary["replay_rate"] * 0.8 * scores / max(1, scores + lost))
    return (
        f"{' '.join(told)} This machine was too slow or too busy. Replay the recording slower: "
        f"make demo RATE={slower:.1g} (or --rate {slower:.1g})."
    )


def warnings(summary: dict[str, Any]) -> list[str]:
    """Return what a reader must know of the recording and of this machine, if anything."""
    told = []
    if summary["recording_damage"]:
        told.append(f"Only a part of the recording could be read: {summary['recording_damage']}.")
    if summary["why_unrefined"]:
        told.append(f"No score was refined: {summary['why_unrefined']}.")
    if summary["stamps_from_log"]:
        told.append(
            "The images' stamps are zero or stand still. Their log times stand in for the stamps: "
            "times and rates are those of recording."
        )
    return [*told, *filter(None, [advice(summary)])]


def write_page(summary: dict[str, Any], folder: Path, video: Path | None, plot: str) -> Path:
    """Write `folder`/index.html; pictures are inside it, only the video lies beside it.

    Args:
        summary: of `summarise`.
        folder: with the contact sheet.
        video: in the same folder, if there is one.
        plot: the latency plot as SVG.
    """
    parts = [
        "<!doctype html><meta charset=utf-8><title>objectomaly: a replayed drive</title>",
        "<meta name=viewport content='width=device-width'>",
        f"<style>{_STYLE}</style><h1>What the node found</h1>",
        f"<p>{escape(summary['recording'])}, topic {escape(summary['image_topic'])}, "
        f"{summary['seconds']:.1f} s, replayed through <code>refine_node</code> at "
        f"{summary['replay_rate']:g} times its pace, on {escape(summary['processor'])}.</p>",
    ]
    parts += [f"<p class=warning>{escape(words)}</p>" for words in warnings(summary)]
    if video is not None:
        parts.append(
            f"<video controls loop muted autoplay src='{escape(video.name)}'></video>"
            "<p>Left: the image with <code>~/score</code>, <code>~/mask</code> and "
            "<code>~/obstacles</code>, drawn as in <code>~/overlay</code>. Right: "
            "<code>~/score</code>, blue low, red high.</p>"
        )
    if accuracy := summary.get("accuracy"):
        parts += ["<h2>Against the ground truth</h2>", *_accuracy_tables(accuracy)]
    parts += ["<h2>Frames and times</h2>", *_timing_table(summary)]
    parts += ["<h2>Latency of every frame</h2>", plot]
    sheet = folder / "contact_sheet.jpg"
    if sheet.exists():
        about = "Some frames" + ("; the green outline is the truth" if accuracy else "")
        data = base64.b64encode(sheet.read_bytes()).decode()
        parts.append(f"<h2>{about}</h2><img src='data:image/jpeg;base64,{data}' alt='{about}'>")
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
    size, seconds = summary["result_bytes"], summary["demo_seconds"]
    lines = [
        f"frames    {summary['scores_out']} of {summary['images_in_recording']} scored, "
        f"{summary['refined_frames']} refined, {counters['dropped']} dropped; "
        f"{_number(summary['rate_in_hz'], 1)} Hz in, {_number(summary['rate_out_hz'], 1)} Hz out",
        *(
            f"latency   p50 {_number(times[name]['p50'])} ms, p95 {_number(times[name]['p95'])} ms "
            f"from the image's arrival to {about}"
            for name, about in (
                ("coarse_latency", "its coarse score"),
                ("latency", "its refined score and obstacles"),
            )
        ),
        f"          (detector p50 {_number(times['coarse']['p50'])} ms; masks, generated beside, "
        f"p50 {_number(times['mask_generation']['p50'])} ms; {summary['processor']})",
    ]
    lines += [f"warning   {words}" for words in warnings(summary)]
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
    took = ", ".join(f"{name} {value:.0f}" for name, value in seconds.items())
    lines.append(f"size      {size / 1e6:.1f} MB of results, in result/")
    if seconds:
        lines.append(f"time      {sum(seconds.values()):.0f} s: {took}")
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
        f"<p>{summary['scores_out']} of {summary['images_in_recording']} images have a score, "
        f"computed on {escape(summary['processor'])}. The node received "
        f"{counts['received']}, scored {counts['scored']}, dropped {counts['dropped']}, rejected "
        f"{counts['rejected']}; {summary['refined_frames']} scores were refined. "
        f"{_number(summary['rate_in_hz'], 1)} Hz in, "
        f"{_number(summary['rate_out_hz'], 1)} Hz out. The results take "
        f"{summary['result_bytes'] / 1e6:.0f} MB (scores in steps of 1/4096).</p>",
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
.warning { background: #fff1cc; padding: .5em .9em; } svg { width: 100%; height: auto; }
img, video { max-width: 100%; height: auto; } code { background: #f2f2f2; padding: 0 .2em; }
"""
