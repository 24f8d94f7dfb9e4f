"""`objectomaly bag`: every frame of recordings at full quality, as bags with a page."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from objectomaly_ros.cli.options import (
    FAILED,
    MODEL,
    above_zero,
    add_device_argument,
    add_rule_arguments,
    exit_code,
    positive,
    report,
)

_SHOWN = 20
"""Recordings that the table on the terminal has."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    from objectomaly_ros.obstacles.false_alarms import MIN_AREA  # loads NumPy

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "Writes OUT/NAME, a bag with /objectomaly/score, mask, overlay and obstacles for every\n"
        "image, with its stamp and frame; OUT/index.html, the most anomalous moments of all\n"
        "recordings; OUT/obstacles.jsonl (and .parquet, if pyarrow is installed). A run that was\n"
        "killed goes on if it is started again. See docs/bags.md.\n\n"
        "Exit codes: 0 all done; 3 some recordings failed (each is named), the others are whole;\n"
        "1 none is done, or a model does not load, or the disk is full; 2 usage.\n\n"
        "  objectomaly bag drives/*.mcap --out results --workers 4"
    )
    parser.add_argument(
        "recordings",
        nargs="+",
        metavar="IN",
        help="a bag (folder, .mcap, .db3, ROS 1 .bag), a folder of JPEG or PNG images, or a "
        "video; also a URL such as s3://BUCKET/drives/*.mcap",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="made if missing; also a URL")
    parser.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="folder of what is not yet whole, if --out is a URL; default: in ~/.cache/objectomaly",
    )
    parser.add_argument(
        "--topic",
        action="append",
        default=[],
        metavar="NAME",
        help="image topic of bags; may be repeated; default: all",
    )
    parser.add_argument(
        "--detector",
        default="embedded",
        metavar=MODEL,
        help="default: %(default)s; with a memory: embedded,memory=normal.safetensors",
    )
    parser.add_argument(
        "--masks", default="regions", metavar=MODEL, help="none for no refinement; default: regions"
    )
    parser.add_argument(
        "--masks-every",
        type=_up_to(60),
        default=5,
        metavar="N",
        help="make masks on every n-th image (at most 60) and carry them both ways; default: 5",
    )
    add_rule_arguments(parser)
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="SCORE",
        help="at least one pixel of an obstacle is above it; default: the detector's",
    )
    parser.add_argument(
        "--min-area",
        type=positive,
        default=MIN_AREA,
        metavar="PIXELS",
        help="of the smallest obstacle; default: %(default)s",
    )
    parser.add_argument(
        "--roi",
        choices=("road", "none"),
        default="road",
        help="where obstacles count: on the road as the detector sees it, or everywhere",
    )
    parser.add_argument(
        "--start",
        type=float,
        default=0.0,
        metavar="S",
        help="begin so many seconds after the first image of each recording; default: 0",
    )
    parser.add_argument(
        "--end",
        type=above_zero,
        default=float("inf"),
        metavar="S",
        help="end so many seconds after the first image of each recording; default: its end",
    )
    parser.add_argument(
        "--every", type=positive, default=1, metavar="N", help="process only every n-th image"
    )
    parser.add_argument(
        "--rate",
        type=above_zero,
        metavar="HZ",
        help="of folders of images (default: 10) and videos (default: their own)",
    )
    parser.add_argument(
        "--raw", action="store_true", help="write raw images: 32FC1, mono8, rgb8 (much larger)"
    )
    parser.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="processes, of one thread each; default: one for each core, one on a GPU",
    )
    parser.add_argument(
        "--ray",
        nargs="?",
        const="auto",
        metavar="ADDRESS",
        help="let the cores of a Ray cluster be the workers; default of ADDRESS: auto, the cluster "
        "of this machine; all machines share the disk of IN and DIR (docs/fleets.md)",
    )
    add_device_argument(parser)
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")


def run(args: argparse.Namespace) -> int:
    """Process the recordings."""
    from tqdm import tqdm

    from objectomaly_ros.models.devices import chosen_device
    from objectomaly_ros.offline.job import Job
    from objectomaly_ros.offline.page import read_summary, write_page
    from objectomaly_ros.offline.pool import WorkerError
    from objectomaly_ros.offline.remote import upload
    from objectomaly_ros.offline.run import run as run_all
    from objectomaly_ros.offline.tables import write_tables

    if args.start >= args.end:
        raise ValueError(f"--start {args.start:g} is not before --end {args.end:g}")
    job = Job(
        detector=args.detector,
        masks=args.masks,
        device=chosen_device(args.device, None),
        overlap=args.overlap,
        residual=args.residual,
        threshold=args.threshold,
        min_area=args.min_area,
        roi=args.roi,
        masks_every=args.masks_every,
        topics=tuple(args.topic),
        start_s=args.start,
        end_s=args.end,
        every=args.every,
        rate_hz=args.rate,
        raw=args.raw,
    )
    paths = _recordings(args.recordings)
    out, target = _results(args.out, args.work)
    workers = args.workers or (len(os.sched_getaffinity(0)) if job.device == "cpu" else 1)
    with tqdm(unit="frame", total=0, dynamic_ncols=True, disable=None) as bar:

        def progress(frames: int, more: int) -> None:
            bar.total += more
            bar.update(frames)

        size = 0

        def copied(more: int) -> None:
            nonlocal size
            size += more
            bar.set_postfix_str(f"{size / 1e6:,.0f} MB copied")

        try:
            found = run_all(
                paths,
                out,
                job,
                workers,
                progress=progress,
                copied=copied,
                ray=args.ray,
                target=target,
            )
        except WorkerError as error:
            report("bag", str(error))
            return FAILED
        except KeyboardInterrupt:
            text = "what is done is kept; the same command goes on"
            raise KeyboardInterrupt(text) from None
    for text in found.warnings:
        report("bag", text)
    summaries = [read_summary(place.summary) for place in found.done]
    failed = {place.given: reason for place, reason in found.failed.items()}
    files = write_tables(out, found.done)
    page = write_page(out, [place.summary for place in found.done], failed)
    shown = [str(file) for file in (page, *files)]
    if target:
        shown = [f"{target}/{Path(file).name}" for file in shown]
        for file, url in zip((page, *files), shown, strict=True):
            upload(file, url)
    for summary in summaries:
        for problem in _problems(summary):
            report("bag", f"{summary['path']}: {problem}")
    for path, reason in failed.items():
        report("bag", reason if path in reason else f"{path}: {reason}")
    if args.json:
        print(json.dumps(_printed(target or str(out), summaries, failed)))
    else:
        print("".join(f"{line}\n" for line in _table(summaries)), end="")
        print(f"{len(summaries)} of {len(paths)} recordings done; see {shown[0]}")
        if summaries and len(files) == 1:
            print(f"obstacles in {shown[1]}; for Parquet beside it: pip install pyarrow")
    sys.stdout.flush()
    return exit_code(len(summaries), len(failed))


def _recordings(given: Sequence[str]) -> list[Path | str]:
    """Return the recordings, of a URL with * all that it stands for."""
    from objectomaly_ros.bags.errors import BagError
    from objectomaly_ros.offline.remote import location, matches

    found: list[Path | str] = []
    for one in map(location, given):
        several: list[str] = []
        if isinstance(one, str) and "*" in one and "::" not in one:
            with suppress(BagError, ImportError):  # the run fails at it as well, and names it
                several = matches(one)
        found += several or [one]
    return found


def _results(given: str, work: Path | None) -> tuple[Path, str]:
    """Return the folder of the run, and the URL that its results are moved to; empty for none."""
    from objectomaly_ros.checkpoints.table import cache_dir
    from objectomaly_ros.offline.remote import base_name, location

    out = location(given)
    if isinstance(out, str):
        url = out.rstrip("/")
        name = f"{base_name(url)}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"
        return work or cache_dir() / "bag" / name, url
    if work is not None:
        raise ValueError(f"--work is for an --out that is a URL; {out} is itself a folder")
    return out, ""


def _problems(summary: dict[str, Any]) -> list[str]:
    """Return what a reader must know of a recording that is done."""
    told = [f"only a part could be read: {summary['damage']}"] if summary["damage"] else []
    for stream in summary["streams"]:
        if stream["unreadable"]:
            told.append(
                f"{stream['unreadable']} of {stream['images']} images of {stream['topic']} are "
                f"left out, the first because: {stream['problem']}"
            )
        elif stream["problem"]:
            told.append(f"{stream['topic']}: {stream['problem']}")
    return told


def _table(summaries: Sequence[dict[str, Any]]) -> list[str]:
    """Return the lines of a table of the most anomalous recordings."""
    from objectomaly_ros.files.reading import printable
    from objectomaly_ros.offline.page import figures

    if not summaries:
        return []
    ranked = sorted(summaries, key=lambda summary: -figures(summary)[0][-1])
    rows: list[tuple[str, ...]] = [("recording", "length", "frames", "obstacles", "peak")]
    rows += [(printable(s["recording"]), *figures(s)[1]) for s in ranked[:_SHOWN]]
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = [
        "  ".join([name.ljust(first), *map(str.rjust, cells, others)]) for name, *cells in rows
    ]
    more = len(summaries) - _SHOWN
    return [*lines, f"and {more} less anomalous ones"] if more > 0 else lines


def _printed(out: str, summaries: list[dict[str, Any]], failed: dict[str, str]) -> dict[str, Any]:
    pictures = "curve", "moments"
    return {
        "out": out,
        "recordings": [
            {
                **{key: value for key, value in summary.items() if key != "streams"},
                "streams": [
                    {key: value for key, value in stream.items() if key not in pictures}
                    for stream in summary["streams"]
                ],
            }
            for summary in summaries
        ],
        "failed": failed,
    }


def _up_to(most: int) -> Any:
    def number(text: str) -> int:
        value = positive(text)
        if value > most:
            raise argparse.ArgumentTypeError(f"{value} is above {most}")
        return value

    return number
