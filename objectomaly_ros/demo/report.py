"""The figures of a replay as plain numbers, as JSON, and as lines for a terminal."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from objectomaly_ros.demo.accuracy import STEADY_FRAMES, Accuracy
from objectomaly_ros.demo.replay import NODE, image_topic
from objectomaly_ros.demo.reported import Reported
from objectomaly_ros.demo.source import Source
from objectomaly_ros.demo.timing import TIMES, Timing
from objectomaly_ros.evaluation.results import finite, percent
from objectomaly_ros.files.writing import open_replacing

_TOLERATED = 0.025  # share of images without a score


def summarise(
    source: Source,
    rate: float,
    timing: Timing,
    accuracy: Accuracy | None,
    reported: Sequence[Reported],
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
    summary["reported"] = [asdict(obstacle) for obstacle in reported]
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


def verdict(summary: dict[str, Any]) -> list[str]:
    """Return what the node found in one sentence, then from how far, then what it missed."""
    accuracy = summary.get("accuracy")
    if accuracy is None:
        count, seconds = len(summary["reported"]), summary["seconds"]
        brief = sum(one["frames"] < STEADY_FRAMES for one in summary["reported"])
        told = [
            f"The node reported {count or 'no'} obstacle{'' if count == 1 else 's'} in "
            f"{seconds:.0f} s."
        ]
        if brief:
            told.append(f"{brief} of them in one or two frames only.")
        return told
    objects = accuracy["objects"]
    unsteady = [seen for seen in objects if seen["found_from_m"] is None]
    found = [seen for seen in objects if seen["found_from_m"] is not None]
    found.sort(key=lambda seen: -seen["found_from_m"])
    told = [
        f"The node found {len(found)} of {len(objects)} unknown objects on the road; "
        f"{accuracy['false_obstacles']} of {accuracy['obstacles']} reports were false."
    ]
    if found:
        ranges = ", ".join(f"{seen['name']} {seen['found_from_m']:.0f} m" for seen in found)
        told.append(f"How far ahead each was found: {ranges}.")
    for words, some in (("Found only at times", True), ("Missed", False)):
        names = [seen["name"] for seen in unsteady if (seen["frames_found"] > 0) == some]
        if names:
            told.append(f"{words}: {', '.join(names)}.")
    return told


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
        f"{number(arrival_hz(summary), 1)} Hz in, {number(summary['rate_out_hz'], 1)} Hz out",
        *(
            f"latency   p50 {number(times[name]['p50'])} ms, p95 {number(times[name]['p95'])} ms "
            f"from the image's arrival to {about}"
            for name, about in (
                ("coarse_latency", "its coarse score"),
                ("latency", "its refined score and obstacles"),
            )
        ),
        f"          (detector p50 {number(times['coarse']['p50'])} ms; masks, generated beside, "
        f"p50 {number(times['mask_generation']['p50'])} ms; {summary['processor']})",
    ]
    lines += [f"obstacles {words}" for words in verdict(summary)]
    lines += [f"warning   {words}" for words in warnings(summary)]
    if accuracy := summary.get("accuracy"):
        coarse, refined = accuracy["coarse"], accuracy["refined"]
        lines += [
            f"AuPRC, %  {percent(coarse['auprc'])} coarse, {percent(refined['auprc'])} refined; "
            f"FPR95 {percent(coarse['fpr95'])} coarse, {percent(refined['fpr95'])} refined "
            f"({accuracy['frames']} frames)",
            f"ranges    median error {percent(accuracy['range_error'])} % within 30 m; "
            f"{accuracy['free_road']['through']} of {accuracy['free_road']['rays']} free rays pass "
            "through an object that is seen whole",
        ]
    took = ", ".join(f"{name} {value:.0f}" for name, value in seconds.items())
    lines.append(f"size      {size / 1e6:.1f} MB of results, in result/")
    if seconds:
        lines.append(f"time      {sum(seconds.values()):.0f} s: {took}")
    return lines


def arrival_hz(summary: dict[str, Any]) -> float | None:
    """Return the rate at which the node got images: that of the recording at the replay's pace."""
    rate = summary["rate_in_hz"]
    return None if rate is None else float(rate * summary["replay_rate"])


def number(value: float | None, digits: int = 0) -> str:
    """Return a figure as text; "-" if there is none."""
    return "-" if value is None else f"{value:.{digits}f}"
