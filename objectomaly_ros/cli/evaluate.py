"""`objectomaly evaluate`: measures any detector on datasets, after every stage."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from objectomaly_ros.cli.options import (
    MODEL,
    add_device_argument,
    add_rule_arguments,
    exit_code,
    positive,
    report,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "After an interruption the same command resumes: OUT/cache keeps the scores by image,\n"
        "weights and options.\n\n"
        "Exit codes: 0 all frames count; 3 some frames are left out (each is named); 1 nothing is\n"
        "measured, a model does not load, or OUT cannot be written; 2 usage.\n\n"
        "  objectomaly evaluate data/RoadAnomaly21 --detectors mask2anomaly=m2a.pth \\\n"
        "      --masks sam_vit_h=sam.pth --device cuda\n"
        "  objectomaly evaluate data --detectors precomputed=my_scores --masks none regions"
    )
    parser.add_argument(
        "root", type=Path, help="a dataset (images/ and labels_masks/), or a folder of datasets"
    )
    parser.add_argument(
        "--datasets",
        nargs="+",
        default=[],
        metavar="NAME",
        help="of the folder; default: all",
    )
    parser.add_argument(
        "--detectors", nargs="+", default=["embedded"], metavar=MODEL, help="default: embedded"
    )
    parser.add_argument(
        "--masks",
        nargs="+",
        default=["regions"],
        metavar=MODEL,
        help="mask generators; 'none': the coarse stage alone; default: regions",
    )
    parser.add_argument(
        "--labels",
        nargs="+",
        type=_label,
        default=[],
        metavar="VALUE=MEANING",
        help="what values in the label files mean: normal, anomaly or ignore; default: 0=normal "
        "1=anomaly 255=ignore, and the rules of known datasets",
    )
    add_rule_arguments(parser)
    parser.add_argument(
        "--limit",
        type=positive,
        metavar="N",
        help="N frames of each dataset, evenly spread; with --clip the first N",
    )
    parser.add_argument(
        "--clip",
        action="store_true",
        help="the images of a folder are consecutive frames in the order of their names (2 before "
        "10): measure the temporal consistency of the scores too",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("evaluation"),
        help="folder for report.html, results.json and the cache; default: %(default)s",
    )
    parser.add_argument(
        "--workers", type=positive, default=1, help="worker processes; default: %(default)s"
    )
    add_device_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def _label(text: str) -> tuple[int, int]:
    from objectomaly_ros.evaluation.frames import LABEL_NAMES

    value, _, meaning = text.partition("=")
    if not (value.isdecimal() and int(value) < 256 and meaning in LABEL_NAMES):
        names = ", ".join(LABEL_NAMES)
        raise argparse.ArgumentTypeError(
            f"{text!r} is no VALUE=MEANING; a value is 0 to 255, a meaning {names}: 255=anomaly"
        )
    return int(value), LABEL_NAMES[meaning]


def run(args: argparse.Namespace) -> int:
    """Evaluate; print the table to stdout, progress and left-out frames to stderr."""
    from objectomaly_ros.evaluation.cache import ScoreCache
    from objectomaly_ros.evaluation.datasets import DatasetError, find_datasets
    from objectomaly_ros.evaluation.model_spec import ModelSpec
    from objectomaly_ros.evaluation.report.page import write_report
    from objectomaly_ros.evaluation.results import as_json, as_text, failed
    from objectomaly_ros.evaluation.runner import check_labels, evaluate
    from objectomaly_ros.evaluation.stages import Options
    from objectomaly_ros.files.reading import printable
    from objectomaly_ros.files.writing import open_replacing

    datasets, failures = [], []
    for dataset in find_datasets(args.root, args.datasets):
        try:
            read_so = dataset.with_labels(dict(args.labels))
            check_labels(read_so, args.limit, args.clip)
            datasets.append(read_so)
        except DatasetError as error:
            failures.append(str(error))
    if not datasets:
        raise DatasetError("\n".join(failures))
    detectors = [ModelSpec.parse(text) for text in args.detectors]
    masks = [None if text == "none" else ModelSpec.parse(text) for text in args.masks]
    options = Options(
        args.out / "cache",
        args.device,
        args.workers,
        args.limit,
        overlap=args.overlap,
        residual=args.residual,
        clip=args.clip,
    )
    results = evaluate(datasets, detectors, masks, options)
    content = json.dumps(as_json(results), indent=1)
    print(content if args.json else printable(as_text(results)))
    with open_replacing(args.out / "results.json", "w", encoding="utf-8") as file:
        file.write(content)
    page = args.out / "report.html"
    write_report(page, results, ScoreCache(options.cache))
    print(f"report: {page}", file=sys.stderr)
    failures += [line for result in results for line in failed(result)]
    for line in failures:
        report("evaluate", f"left out {line}")
    measured = sum(bool(run.stages) for result in results for run in result.runs)
    if not measured:
        report("evaluate", "no frame could be used")
    return exit_code(measured, len(failures))
