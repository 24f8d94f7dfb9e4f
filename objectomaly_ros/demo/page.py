"""Writes the page of a replay: what was found, how well, how fast."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from objectomaly_ros.bags.messages import jpeg
from objectomaly_ros.demo.accuracy import FOUND_SHARE, STEADY_SHARE
from objectomaly_ros.demo.report import arrival_hz, number, verdict, warnings
from objectomaly_ros.evaluation.results import percent
from objectomaly_ros.files.writing import open_replacing
from objectomaly_ros.types import Image

_MOST_REPORTED = 12

_LEGEND = (
    ("<i class=box></i>", "an obstacle that the node reports, with its distance and its number, "
     "which stays the same while it is tracked"),
    ("<i class=line></i>", "the pixels of the obstacle (<code>~/mask</code>)"),
    ("<i class=heat></i>", "how unusual a pixel is (the anomaly score, <code>~/score</code>): blue "
     "is ordinary, red is unlike anything on a normal street. One picture shows it alone, the "
     "camera's picture only where it is high"),
    ("<i class=plate>top</i>", "the number of obstacles, the nearest, and the age of the object "
     "masks that refine the score: they are made for some frames and follow the image in between"),
)  # fmt: skip

_LEGEND_ABOVE = (
    ("<i class=posts></i>", "obstacles (<code>~/points</code>)"),
    ("<i class=free></i>", "road that is seen free (<code>~/free</code>)"),
    ("<i class=truth></i>", "the true outline of an unknown object"),
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
    found, *more = verdict(summary)
    accuracy = summary.get("accuracy")
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<title>objectomaly: what the node found</title>",
        "<meta name=viewport content='width=device-width'>",
        f"<style>{_STYLE}</style><h1>{escape(found)}</h1>",
        *(f"<p class=verdict>{escape(words)}</p>" for words in more),
        "<p>The node looks for whatever does not belong on a road, also for things that its "
        "training never showed.",
        "A report is one box in one frame of the video; a false one touches no unknown object."
        if accuracy
        else "",
        "</p>",
        *(f"<p class=warning>{escape(words)}</p>" for words in warnings(summary)),
        "<div class=seen>",
        *_video(video, poster),
        "<div class=beside>",
        _legend(_LEGEND),
        *(_objects(accuracy["objects"]) if accuracy else _reported(summary["reported"])),
        "</div></div>",
    ]
    parts += _from_above(above, accuracy)
    if accuracy:
        parts += _scores(accuracy, summary["refined_frames"])
    parts += ["<h2>How fast</h2>", *_times(summary, plot)]
    sheet = folder / "contact_sheet.jpg"
    if sheet.exists():
        about = "Some frames" + ("; the green outline is the truth" if accuracy else "")
        parts += [f"<h2>{about}</h2>", _panels(sheet.read_bytes(), about, 1360)]
    parts += _files(summary)
    page = folder / "index.html"
    with open_replacing(page, "w", encoding="utf-8") as file:
        file.write("\n".join(parts))
    return page


def _inside(picture: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"


def _panels(picture: bytes, about: str, width: int) -> str:
    """Return a picture of several columns; on a phone it keeps its width in pixels and scrolls."""
    return (
        f"<div class=wide><img class=panels style='width:{width}px' src='{_inside(picture)}' "
        f"alt='{about}'></div>"
    )


def _video(video: Path | None, poster: Image | None) -> list[str]:
    if video is None:
        return []
    shown = "" if poster is None else f" poster='{_inside(jpeg(poster, 85))}'"
    return [
        f"<video id=video controls loop muted playsinline src='{escape(video.name)}'{shown}>"
        "</video>"
    ]


def _legend(signs: Sequence[tuple[str, str]]) -> str:
    lines = "".join(f"<li>{sign}<span>{words}</span></li>" for sign, words in signs)
    return f"<ul class=legend>{lines}</ul>"


def _objects(objects: Sequence[dict[str, Any]]) -> list[str]:
    rows = [
        [
            escape(seen["name"]),
            f"{seen['first_visible_m']:.0f} m",
            ("at times" if seen["frames_found"] else "missed")
            if seen["found_from_m"] is None
            else f"{seen['found_from_m']:.0f} m {_seek(seen['found_from_s'])}",
            f"{seen['frames_found']} of {seen['frames']}",
            "" if seen["range_error_m"] is None else f"{seen['range_error_m']:.1f} m",
        ]
        for seen in objects
    ]
    pixels, frames = (f"{100 * share:.0f} %" for share in (FOUND_SHARE, STEADY_SHARE))
    head = ["unknown object", "in view from", "found from", "found in frames under 30 m",
            "range error"]  # fmt: skip
    return [
        "<h2>Each unknown object</h2>",
        _table(head, rows),
        f"<p>Found from: the distance from which on the node marked it ({pixels} of its pixels) in "
        f"at least {frames} of the frames; &#9654; plays the video there. "
        "Range error: median of the difference to its true distance.</p>",
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
    more, fewest = len(reported) - len(rows), reported[len(rows) - 1]["frames"]
    unplaced = all(one["nearest_m"] is None for one in reported)
    return [
        "<h2>What was reported</h2>",
        _table(["obstacle", "from", "frames", "nearest", "score"], rows),
        f"<p>{more} more were reported in at most {fewest} frames.</p>" if more else "",
        "<p>From: its first second; &#9654; plays the video there. Score: the mean of its pixels, "
        "when highest.</p>",
        "<p>No distances: they need camera_info in the recording, and the ground below in view.</p>"
        if unplaced
        else "",
        "<p>If these are ordinary things of your street, teach the node what is normal there: "
        "<code>objectomaly learn DRIVE --out normal.safetensors</code> (docs/memory.md). "
        "<code>objectomaly calibrate DRIVE --detector embedded --out mine</code> chooses the "
        "threshold, and <code>make demo BAG=... PARAMS=mine.yaml</code> shows what it changes.</p>",
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
            f"<p>The distances of objects within 30 m have a median error of {percent(error)} %. "
            f"The road was reported free along {road['rays']} rays in {road['frames']} frames, out "
            f"to {number(road['median_m'])} m (median of the longest ray). {road['through']} rays "
            "pass through an object that the node sees whole (9 of 10 pixels), "
            f"{road['through_parts']} through the part of one that it misses.</p>"
        )
    return [
        "<h2>What a planner gets</h2>",
        "<p>Some frames from above: the camera is at the bottom and looks up.</p>",
        _panels(jpeg(picture, 90), "some frames from above", picture.shape[1]),
        _legend(_LEGEND_ABOVE if accuracy else _LEGEND_ABOVE[:2]),
        told,
    ]


def _scores(accuracy: dict[str, Any], refined_frames: int) -> list[str]:
    stages = [("of the detector alone (~/coarse_score)", "coarse")]
    if refined_frames:
        stages.append(("after refinement (~/score)", "refined"))
    rows = [
        [label, *(percent(accuracy[stage][name]) for name in ("auprc", "fpr95"))]
        for label, stage in stages
    ]
    unknown, usual = (accuracy["refined"][f"{kind}_pixels"] for kind in ("anomaly", "normal"))
    guessed = percent(unknown / (unknown + usual)) if unknown else "0"
    return [
        "<h2>How well, pixel by pixel</h2>",
        _table(["score", "AuPRC, %", "FPR95, %"], rows),
        "<p>AuPRC: how well the score separates the unknown objects from all else. 100 is perfect; "
        f"guessing reaches {guessed}. FPR95: how much of the ordinary street is reported, too, if "
        "95 % of the objects' pixels are to be found; 0 is perfect.</p>",
    ]


def _times(summary: dict[str, Any], plot: str) -> list[str]:
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
        f"<div class=wide>{plot}</div>",
        _table(["", "p50, ms", "p95, ms"], rows),
        "<p>p50, p95: half, and 19 of 20, of all frames took no longer. Coarse: the detector. "
        "Propagation: the object masks follow the image. OASC, MBP: they refine the score. End to "
        "end: between other processes. Masks are generated beside all that, and delay no frame."
        f"</p><p>The node received {counts['received']} images, scored {counts['scored']}, dropped "
        f"{counts['dropped']}, rejected {counts['rejected']}; {summary['refined_frames']} scores "
        "were refined with object masks.</p></details>",
    ]


def _files(summary: dict[str, Any]) -> list[str]:
    bag, topic = escape(summary["recording"]), escape(summary["image_topic"])
    params = escape(summary["parameter_file"] or "")
    own = f"params_file:={params} " if params else ""
    return [
        "<h2>Files</h2>",
        f"<p>Drive: {bag}, topic {topic}, {summary['seconds']:.1f} s, replayed at "
        f"{summary['replay_rate']:g} times its pace, with the parameters of "
        f"{params or 'config/embedded.yaml'}. Its results are a bag, <a href='result/'>result/</a> "
        f"({summary['result_bytes'] / 1e6:.0f} MB, scores in steps of 1/4096).</p><ul>"
        "<li>Foxglove: open <code>result/result.mcap</code>, with the layout "
        "<code>config/foxglove.json</code>.</li>"
        "<li>RViz, on a ROS 2 machine: <code>ros2 launch objectomaly_ros replay.launch.py "
        f"bag:={bag} image_topic:={topic} {own}rviz:=true</code> plays the drive through the node "
        "again.</li>"
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
td + td { white-space: nowrap; } .wide { overflow-x: auto; } .verdict { font-size: 1.15em; }
a { text-decoration: none; }
.warning { background: #fff1cc; padding: .5em .9em; }
svg { width: 100%; min-width: 700px; height: auto; } .panels { max-width: 100%; }
.seen { display: flex; flex-wrap: wrap; gap: 0 1.5em; align-items: flex-start; }
.beside { flex: 1 1 22em; min-width: 0; } .beside h2 { font-size: 1.25em; }
video { max-width: 100%; max-height: 80vh; } code { background: #f2f2f2; padding: 0 .2em;
       overflow-wrap: anywhere; }
.legend { list-style: none; padding: 0; margin: .5em 0 1em; }
.legend li { display: flex; gap: .8em; margin: .3em 0; }
.legend i { flex: none; width: 2.6em; height: 1.1em; margin-top: .2em; background: #777; }
.legend .plate { background: #333; color: #fff; font-style: normal; line-height: 1.1;
       text-align: center; }
.legend .box { border: 3px solid #ffdc00; box-sizing: border-box; }
.legend .line { border: 2px solid #fff; outline: 1px solid #777; box-sizing: border-box;
       border-radius: .5em; }
.legend .posts { background: #ff543c; } .legend .free { background: #34683c; }
.legend .truth { background: #1e1e22; border: 2px solid #fff; outline: 1px solid #777; }
.legend .heat { background: linear-gradient(90deg, #30123b, #28bceb, #a4fc3c, #fb7e21, #7a0403); }
@media (max-width: 700px) { .panels { max-width: none; } th, td { padding-right: .5em; } }
"""
