"""Writes the page of a replay: what was found, how well, how fast."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from objectomaly_ros.bags.messages import jpeg
from objectomaly_ros.demo.report import arrival_hz, number, verdict, warnings
from objectomaly_ros.evaluation.results import percent
from objectomaly_ros.files.writing import open_replacing
from objectomaly_ros.types import Image

_MOST_REPORTED = 30

_LEGEND = (
    ("<i class=box></i>", "an obstacle that the node reports, with its distance and its number, "
     "which stays the same while it is tracked"),
    ("<i class=line></i>", "the pixels of the obstacle (<code>~/mask</code>)"),
    ("<i class=heat></i>", "how unusual a pixel is (the anomaly score, <code>~/score</code>): blue "
     "is ordinary, red is unlike anything on a normal street. On the left only high scores are "
     "drawn"),
)  # fmt: skip

_LEGEND_ABOVE = (
    ("<i class=posts></i>", "obstacles (<code>~/points</code>)"),
    ("<i class=free></i>", "road that is seen free (<code>~/free</code>)"),
    ("<i class=truth></i>", "the true outline of an unknown object"),
)

_MEASURES = (
    "<p>AuPRC: how well the score separates the unknown objects from all else; 100 is perfect, and "
    "chance reaches the share of their pixels. FPR95: how much of the ordinary street is reported "
    "if 95 % of the objects' pixels are to be found; 0 is perfect.</p>"
)


def write_page(
    summary: dict[str, Any],
    folder: Path,
    *,
    video: Path | None,
    poster: Image | None,
    above: Image | None,
    plot: str,
) -> Path:
    """Write `folder`/index.html; pictures are inside it, only the video lies beside it.

    Args:
        summary: of `report.summarise`.
        folder: with the contact sheet.
        video: in the same folder, if there is one.
        poster: (H, W, 3) uint8 RGB, shown before the video plays.
        above: (H, W, 3) uint8 RGB, some frames from above.
        plot: the latency plot as SVG.
    """
    found, *missed = verdict(summary)
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<title>objectomaly: what the node found</title>",
        "<meta name=viewport content='width=device-width'>",
        f"<style>{_STYLE}</style><h1>{escape(found)}</h1>",
        *(f"<p class=missed>{escape(words)}</p>" for words in missed),
        "<p>The node looks for whatever does not belong on a road, also for things that no "
        "training set names.</p>",
        *(f"<p class=warning>{escape(words)}</p>" for words in warnings(summary)),
        *_video(video, poster),
    ]
    accuracy = summary.get("accuracy")
    parts += _objects(accuracy["objects"]) if accuracy else _reported(summary["reported"])
    parts += _from_above(above, accuracy)
    if accuracy:
        parts += _scores(accuracy, summary["refined_frames"])
    parts += ["<h2>How fast</h2>", *_times(summary), plot]
    sheet = folder / "contact_sheet.jpg"
    if sheet.exists():
        about = "Some frames" + ("; the green outline is the truth" if accuracy else "")
        parts.append(f"<h2>{about}</h2><img src='{_inside(sheet.read_bytes())}' alt='{about}'>")
    parts += _files(summary)
    page = folder / "index.html"
    with open_replacing(page, "w", encoding="utf-8") as file:
        file.write("\n".join(parts))
    return page


def _inside(picture: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"


def _video(video: Path | None, poster: Image | None) -> list[str]:
    if video is None:
        return []
    shown = "" if poster is None else f" poster='{_inside(jpeg(poster, 85))}'"
    legend = "".join(f"<li>{sign}<span>{words}</span></li>" for sign, words in _LEGEND)
    return [
        f"<video id=video controls loop muted playsinline src='{escape(video.name)}'{shown}>"
        f"</video><ul class=legend>{legend}</ul>"
    ]


def _objects(objects: Sequence[dict[str, Any]]) -> list[str]:
    rows = [
        [
            escape(seen["name"]),
            f"{seen['first_visible_m']:.0f} m",
            "missed"
            if seen["found_from_m"] is None
            else f"{seen['found_from_m']:.0f} m {_seek(seen['found_from_s'])}",
            f"{seen['frames_found']} of {seen['frames']}",
            "" if seen["range_error_m"] is None else f"{seen['range_error_m']:.1f} m",
        ]
        for seen in objects
    ]
    head = ["unknown object", "in view from", "found from", "found in frames under 30 m",
            "range error"]  # fmt: skip
    return [
        "<h2>Each unknown object</h2>",
        _table(head, rows),
        "<p>Found from: the distance from which on the node reported it in at least 9 of 10 "
        "frames. Range error: median of the difference to its true distance. A report is one "
        "obstacle in one frame; a false one touches no unknown object.</p>",
    ]


def _reported(reported: Sequence[dict[str, Any]]) -> list[str]:
    """Return the table of a drive without truth."""
    if not reported:
        return []
    rows = [
        [
            f"#{one['id']}",
            f"{one['from_s']:.1f} s {_seek(one['from_s'])}",
            str(one["frames"]),
            "unknown" if one["nearest_m"] is None else f"{one['nearest_m']:.0f} m",
            f"{one['score']:.2f}",
        ]
        for one in reported[:_MOST_REPORTED]
    ]
    more = len(reported) - len(rows)
    unplaced = all(one["nearest_m"] is None for one in reported)
    return [
        "<h2>What was reported</h2>",
        _table(["obstacle", "from", "frames", "nearest", "score"], rows),
        f"<p>{more} more were reported in fewer frames.</p>" if more else "",
        "<p>No distances: they need camera_info in the recording, and the ground below in view.</p>"
        if unplaced
        else "",
        "<p>If these are ordinary things of your street, teach the node what is normal there: "
        "<code>objectomaly learn DRIVE --out normal.safetensors</code> (docs/memory.md). "
        "<code>objectomaly calibrate DRIVE --detector embedded</code> chooses the threshold.</p>",
    ]


def _seek(seconds: float) -> str:
    """Return a link that plays the video from a second on."""
    at = max(0.0, seconds - 0.5)
    return (
        f"<a href='#video' onclick='video.currentTime={at:.1f};video.play()' "
        f"title='play the video from {at:.0f} s on'>&#9654;</a>"
    )


def _from_above(picture: Image | None, accuracy: dict[str, Any] | None) -> list[str]:
    if picture is None:
        return []
    told = ""
    if accuracy:
        road, error = accuracy["free_road"], accuracy["range_error"]
        told = (
            f"<p>Ranges within 30 m: median error {percent(error)} %. Free road: {road['rays']} "
            f"rays in {road['frames']} frames, the longest of a frame {number(road['median_m'])} m "
            f"(median). {road['through']} rays pass through an object that the node sees whole (9 "
            f"of 10 pixels), {road['through_parts']} through what it misses of one.</p>"
        )
    legend = "".join(f"<li>{sign}<span>{words}</span></li>" for sign, words in _LEGEND_ABOVE)
    return [
        "<h2>What a planner gets</h2>",
        "<p>Some frames from above: the camera is at the bottom and looks up.</p>",
        f"<img src='{_inside(jpeg(picture, 90))}' alt='some frames from above'>",
        f"<ul class=legend>{legend}</ul>{told}",
    ]


def _scores(accuracy: dict[str, Any], refined_frames: int) -> list[str]:
    stages = [("of the detector alone (~/coarse_score)", "coarse")]
    if refined_frames:
        stages.append(("after refinement (~/score)", "refined"))
    rows = [
        [label, *(percent(accuracy[stage][name]) for name in ("auprc", "fpr95"))]
        for label, stage in stages
    ]
    return ["<h2>How well, pixel by pixel</h2>", _table(["score", "AuPRC, %", "FPR95, %"], rows),
            _MEASURES]  # fmt: skip


def _times(summary: dict[str, Any]) -> list[str]:
    counts, times = summary["node_counters"], summary["milliseconds"]
    rows = [
        [name.replace("_", " "), number(values["p50"], 1), number(values["p95"], 1)]
        for name, values in times.items()
    ]
    return [
        f"<p>Half of all results came within {number(times['latency']['p50'])} ms of their image, "
        f"19 of 20 within {number(times['latency']['p95'])} ms, on "
        f"{escape(summary['processor'])}. {summary['scores_out']} of "
        f"{summary['images_in_recording']} images have a score. Images came at "
        f"{number(arrival_hz(summary), 1)} Hz, scores at "
        f"{number(summary['rate_out_hz'], 1)} Hz.</p>",
        "<details><summary>Times of every stage</summary>",
        _table(["", "p50, ms", "p95, ms"], rows),
        f"<p>The node received {counts['received']} images, scored {counts['scored']}, dropped "
        f"{counts['dropped']}, rejected {counts['rejected']}; {summary['refined_frames']} scores "
        "were refined with object masks.</p></details>",
    ]


def _files(summary: dict[str, Any]) -> list[str]:
    return [
        "<h2>Files</h2>",
        f"<p>Drive: {escape(summary['recording'])}, topic {escape(summary['image_topic'])}, "
        f"{summary['seconds']:.1f} s, replayed at {summary['replay_rate']:g} times its pace. Its "
        "results are a bag, <a href='result/'>result/</a> "
        f"({summary['result_bytes'] / 1e6:.0f} MB, scores in steps of 1/4096).</p><ul>"
        "<li>Foxglove: open <code>result/result.mcap</code>, with the layout "
        "<code>config/foxglove.json</code>.</li>"
        "<li>RViz, on a ROS 2 machine: <code>ros2 launch objectomaly_ros replay.launch.py "
        f"bag:={escape(summary['recording'])} image_topic:={escape(summary['image_topic'])} "
        "rviz:=true</code> plays the drive through the node again.</li>"
        "<li>All figures: <a href='summary.json'>summary.json</a>, "
        "<a href='latency.csv'>latency.csv</a>.</li></ul>",
    ]


def _table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table; cells are HTML."""

    def line(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"

    lines = [line(head, "th"), *(line(row, "td") for row in rows)]
    return f"<div class=wide><table>{''.join(lines)}</table></div>"


_STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; max-width: 1280px; margin: 2em auto; padding: 0 1em;
       color: #222; }
h1, h2 { font-weight: 600; line-height: 1.25; } h1 { font-size: 1.7em; } h2 { margin-top: 1.6em; }
table { border-collapse: collapse; } th, td { padding: .25em .9em .25em 0; text-align: left; }
th { border-bottom: 1px solid #999; } td { border-bottom: 1px solid #e4e4e4; }
.wide { overflow-x: auto; } .missed { font-size: 1.15em; } a { text-decoration: none; }
.warning { background: #fff1cc; padding: .5em .9em; } svg { width: 100%; height: auto; }
img, video { max-width: 100%; height: auto; } code { background: #f2f2f2; padding: 0 .2em;
       overflow-wrap: anywhere; }
.legend { list-style: none; padding: 0; } .legend li { display: flex; gap: .8em; margin: .3em 0; }
.legend i { flex: none; width: 2.6em; height: 1.1em; margin-top: .2em; background: #777; }
.legend .box { border: 3px solid #ffdc00; box-sizing: border-box; }
.legend .line { border: 2px solid #fff; outline: 1px solid #777; box-sizing: border-box;
       border-radius: .5em; }
.legend .posts { background: #ff543c; } .legend .free { background: #34683c; }
.legend .truth { background: #1e1e22; border: 2px solid #fff; outline: 1px solid #777; }
.legend .heat { background: linear-gradient(90deg, #30123b, #28bceb, #a4fc3c, #fb7e21, #7a0403); }
"""
