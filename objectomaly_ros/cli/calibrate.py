"""`objectomaly calibrate`: a detector's threshold for a wanted rate of false obstacles."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from objectomaly_ros.cli.options import (
    DONE,
    MODEL,
    add_device_argument,
    add_drive_arguments,
    positive,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from objectomaly_ros.bags.drives import Drive
    from objectomaly_ros.evaluation.model_spec import ModelSpec
    from objectomaly_ros.evaluation.report.false_alarms import Rates
    from objectomaly_ros.obstacles.false_alarms import FalseAlarms
    from objectomaly_ros.types import Detector, Image

_FIRST_LOOK = 40  # images by which the range of thresholds is chosen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "The drive must be without obstacles: whatever the detector finds on the road is counted\n"
        "as the node does, of coarse scores (refined ones are lower). Writes OUT.yaml, parameters\n"
        "for the node, and OUT.html, the rate over the threshold.\n\n"
        "  objectomaly calibrate drive.mcap --detector rba=rba.pth --device cuda --out rba\n"
        "  ros2 run objectomaly_ros refine_node --ros-args --params-file rba.yaml\n\n"
        "Exit codes: 0 calibrated; 1 the drive cannot be read or the detector fails; 2 usage."
    )
    add_drive_arguments(parser)
    parser.add_argument("--detector", required=True, metavar=MODEL)
    parser.add_argument(
        "--limit", type=positive, default=3000, metavar="N", help="images; default: %(default)s"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("threshold"), help="default: %(default)s.yaml and .html"
    )
    add_device_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the rates as JSON")


def run(args: argparse.Namespace) -> int:
    """Count the false obstacles, and write the threshold and the page."""
    from objectomaly_ros.bags.drives import open_drive
    from objectomaly_ros.evaluation.model_spec import ModelSpec
    from objectomaly_ros.evaluation.report.false_alarms import Rates, page, summary
    from objectomaly_ros.files.writing import open_replacing

    drives = [open_drive(path, args.topic, args.rate) for path in args.drives]
    spec = ModelSpec.parse(args.detector)
    alarms, minutes = _count(drives, spec.detector(args.device), args.limit)
    rates = Rates(
        spec.label,
        alarms.thresholds,
        alarms.counts,
        minutes,
        args.false_alarms,
        alarms.threshold_for(args.false_alarms * minutes),
    )
    for suffix, text in (
        (".yaml", _parameters(spec, summary(rates), rates)),
        (".html", page(rates)),
    ):
        with open_replacing(f"{args.out}{suffix}", "w", encoding="utf-8") as file:
            file.write(text)
    if args.json:
        lists = {"thresholds": rates.thresholds.tolist(), "counts": rates.counts.tolist()}
        print(json.dumps({**vars(rates), **lists}))
    else:
        print(f"{args.out}.yaml, {args.out}.html: {summary(rates)}")
    return DONE


def _count(drives: Sequence[Drive], detector: Detector, limit: int) -> tuple[FalseAlarms, float]:
    """Return the false obstacles on at most `limit` images, and the drives' length in minutes."""
    from tqdm import tqdm

    from objectomaly_ros.detectors import detect
    from objectomaly_ros.obstacles.false_alarms import FalseAlarms

    count, seconds = sum(drive.count for drive in drives), sum(drive.seconds for drive in drives)
    few, every = max(1, count // _FIRST_LOOK), max(1, -(-count // limit))
    first = [detect(detector, image).score.max() for image in _images(drives, few)]
    if not first:
        raise ValueError("no image of the drive can be read")
    alarms, interval_s, done = FalseAlarms(first), every * seconds / count, 0
    with tqdm(total=-(-count // every), unit="image", dynamic_ncols=True, disable=None) as bar:
        for image in _images(drives, every):
            alarms.add(detect(detector, image), done * interval_s)
            done += 1
            bar.update()
    return alarms, done * interval_s / 60


def _images(drives: Sequence[Drive], every: int) -> Iterator[Image]:
    for drive in drives:
        yield from drive.images(every)


def _parameters(spec: ModelSpec, summary: str, rates: Rates) -> str:
    """Return a parameter file for the node; JSON is YAML."""
    given = dict(spec.options)
    if isinstance(given.get("memory"), str):  # the node may start in another folder
        given["memory"] = str(Path(given["memory"]).resolve())
    options = [f"{key}={json.dumps(value)}" for key, value in given.items()]
    checkpoint = "" if spec.checkpoint is None else str(Path(spec.checkpoint).resolve())
    values = {
        "detector.name": spec.name,
        "detector.checkpoint": checkpoint,
        "detector.options": options or [""],
        "threshold.high": rates.threshold,
    }
    lines = [f"    {name}: {json.dumps(value)}" for name, value in values.items()]
    return "\n".join([f"# {summary}", "/**:", "  ros__parameters:", *lines, ""])
