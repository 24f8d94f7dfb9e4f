"""`objectomaly benchmark`: times mask generation against the official generator, by stage."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectomaly_ros.cli.options import MODEL, add_device_argument, positive

if TYPE_CHECKING:
    from objectomaly_ros.benchmark.masks import Result

SIZES = {"480x360": (360, 480), "720p": (720, 1280), "1080p": (1080, 1920)}
_ENOUGH_S = 120.0  # after this, runs start only with --repeat
_TITLES = {
    "encoder": "image encoder",
    "decoder": "mask decoder",
    "post_processing": "post-processing",
    "oasc": "OASC",
    "mbp": "MBP",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subjects of measurement and their options."""
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="SUBJECT")
    masks = subjects.add_parser(
        "masks",
        help="mask generation with SAM, ours and the official one, then OASC and MBP",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Both generators run in turns on the same weights; figures are medians. Without a\n"
        "checkpoint the weights are random: the times are right, the masks mean nothing. The\n"
        "thresholds are then set for about 100 masks, as a trained SAM finds with the full grid.\n"
        "The first runs warm up, unless one takes over 15 s. Without --repeat no run starts after\n"
        "two minutes; two CPU cores need two to four minutes in all.\n\n"
        "Exit codes: 0 measured; 1 a checkpoint or device is missing; 2 usage.\n\n"
        "  objectomaly benchmark masks --generator sam_vit_h=sam_vit_h.pth --device cuda\n"
        "  objectomaly benchmark masks --generator sam_vit_b,precision=bfloat16 --size 1080p",
    )
    masks.add_argument(
        "--generator",
        default="sam_vit_b",
        metavar=MODEL,
        help="sam_vit_b, sam_vit_l, sam_vit_h or mobile_sam; default: %(default)s",
    )
    masks.add_argument("--checkpoint", metavar="FILE", help="the same as in NAME=FILE")
    masks.add_argument("--tiny", action="store_true", help="a tiny network, for a quick try")
    masks.add_argument("--image", type=Path, help="an image of yours, at its size")
    masks.add_argument(
        "--size", choices=SIZES, default="720p", help="of the drawn image; default: %(default)s"
    )
    masks.add_argument(
        "--points-per-side",
        type=positive,
        metavar="N",
        help="default: 32, as the official one, on a GPU; 6 on the CPU",
    )
    masks.add_argument(
        "--repeat",
        type=positive,
        metavar="N",
        help="counted runs; default: 7 on a GPU, else 2, or as many as start within two minutes",
    )
    add_device_argument(masks)
    masks.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    """Measure; print the table to stdout, progress and notes to stderr."""
    try:
        report = _masks(args)
    except TypeError as error:  # the generator does not know an option
        raise ValueError(str(error)) from error
    print(json.dumps(report, indent=1) if args.json else _as_text(report))
    return 0


def _masks(args: argparse.Namespace) -> dict[str, Any]:
    import numpy as np
    import torch
    from tqdm import tqdm

    from objectomaly_ros.benchmark import masks, networks
    from objectomaly_ros.benchmark.street import draw_street
    from objectomaly_ros.evaluation.frame_files import read_image
    from objectomaly_ros.evaluation.model_spec import ModelSpec
    from objectomaly_ros.masks.sam.loading import load_network
    from objectomaly_ros.models.devices import device_of

    spec = ModelSpec.parse(args.generator)
    name = networks.TINY if args.tiny else spec.name
    checkpoint = None if args.tiny else args.checkpoint or spec.checkpoint
    device = device_of(args.device)
    sam = networks.build(name)
    if checkpoint:
        load_network(name, lambda: sam, checkpoint)
    else:
        networks.fill(sam)
    sam = sam.eval().requires_grad_(False).to(device)
    image = read_image(args.image) if args.image else draw_street(*SIZES[args.size])
    score = np.linspace(0, 1, image.shape[0] * image.shape[1], dtype=np.float32)
    score = np.sin(40 * score.reshape(image.shape[:2])) ** 2
    on_gpu = device.type == "cuda"
    own = dict(spec.options)
    encoder = {name: own.pop(name, False) for name in ("fused_attention", "compiled")}
    options = {"points_per_side": args.points_per_side or (32 if on_gpu else 6), **own}
    limits = masks.RunLimits(
        args.repeat or (7 if on_gpu else 2),
        seconds=math.inf if args.repeat else _ENOUGH_S,
        **({"slow_s": math.inf} if encoder["compiled"] else {}),
    )
    with tqdm(total=2 * limits.repeat + 3, unit="run", dynamic_ncols=True, disable=None) as bar:

        def begin(what: str) -> None:
            bar.set_description(what)
            bar.update()

        if not checkpoint:
            print("no checkpoint: random weights, the masks mean nothing", file=sys.stderr)
            begin("thresholds")
            options = {**masks.thresholds(sam, image, options), **options}
        fast = masks.accelerated(sam, **encoder)
        ours, official = masks.compare(fast, sam, image, score, options, limits, begin)
        bar.total = bar.n
    same_count = len(ours.masks) == len(official.masks)
    return {
        "generator": name,
        "checkpoint": checkpoint,
        "masks_mean_nothing": not checkpoint,
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
        "image": list(image.shape[:2]),
        "options": {**options, **encoder},
        "repeat": ours.runs,
        "ours": _figures(ours),
        "official": _figures(official),
        "ratio": official.total_ms / ours.total_ms,
        "differing_pixels": int((ours.masks != official.masks).sum()) if same_count else None,
    }


def _figures(side: Result) -> dict[str, Any]:
    return {
        "stages_ms": {stage: side.milliseconds(stage) for stage in side.seconds},
        "total_ms": side.total_ms,
        "masks": len(side.masks),
        "peak_mb": side.peak_mb,
    }


def _as_text(report: dict[str, Any]) -> str:
    ours, official = report["ours"], report["official"]
    height, width = report["image"]
    of = Path(report["checkpoint"]).name if report["checkpoint"] else "random weights"
    lines = [
        f"{report['generator']} ({of}), {width}x{height}, "
        f"{report['options']['points_per_side']}x{report['options']['points_per_side']} points, "
        f"{report['device']}, {report['threads']} CPU threads, median of {report['repeat']}",
        f"ours with {', '.join(f'{k}={v}' for k, v in report['options'].items())}",
        f"{'':18}{'ours ms':>12}{'official ms':>14}{'ratio':>8}",
    ]
    rows = [
        *((title, ours["stages_ms"][s], official["stages_ms"][s]) for s, title in _TITLES.items()),
        ("all", ours["total_ms"], official["total_ms"]),
    ]
    for title, mine, theirs in rows:
        ratio = f"{theirs / mine:8.2f}" if mine > 0 else f"{'-':>8}"
        lines.append(f"{title:18}{mine:12.1f}{theirs:14.1f}{ratio}")
    lines.append(f"{'masks':18}{ours['masks']:12}{official['masks']:14}")
    if ours["peak_mb"] and official["peak_mb"]:
        lines.append(f"{'peak memory, MB':18}{ours['peak_mb']:12.0f}{official['peak_mb']:14.0f}")
    differ = report["differing_pixels"]
    lines.append(
        "The numbers of masks differ, so the masks are not compared."
        if differ is None
        else f"{differ} pixels of all masks differ."
    )
    lines.append("OASC and MBP of the official generator's masks are ours, on the host.")
    if report["masks_mean_nothing"]:
        lines.append("Random weights: the times are right, the masks mean nothing.")
    return "\n".join(lines)
