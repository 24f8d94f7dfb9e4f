"""Measure the options that make SAM's masks faster but less exact, against plain float32.

    scripts/env python -m tools.benchmarks.sam_options --variants fused bfloat16

Input: one frame of street_ood/dev and its coarse score by ESPNetv2. For each variant: seconds of
each stage, number of masks, IoU (mean over the masks of float32 of the best match), difference of
the final map after OASC and MBP (coarse score scaled to 0..1), and AuPRC. Without a checkpoint the
weights are stand-ins, which amplify rounding more than trained ones. `graphs` means
compiled=reduce-overhead and differs from `compiled` on a GPU only. For the official generator see
`objectomaly benchmark masks`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from objectomaly_ros.benchmark import networks
from objectomaly_ros.cli.options import add_device_argument
from objectomaly_ros.detectors.score_files import read_score_map
from objectomaly_ros.evaluation.metrics import pixel_metrics
from objectomaly_ros.masks.sam.encoder import compile_encoder, fuse_attention
from objectomaly_ros.masks.sam.generator import SamMasks
from objectomaly_ros.masks.sam.loading import load_network
from objectomaly_ros.mbp import refine_boundary
from objectomaly_ros.models.devices import chosen_device
from objectomaly_ros.oasc import calibrate
from objectomaly_ros.types import Masks, ScoreMap
from tools import SHARED
from tools.command import need, parser, run
from tools.experiments.frame_scores import read_labelled

VARIANTS = ("fused", "bfloat16", "float16", "compiled", "graphs")
THRESHOLDS = {"pred_iou_thresh": 0.85, "stability_score_thresh": 0.5, "box_nms_thresh": 0.9}


def generator(arguments: argparse.Namespace, variant: str) -> SamMasks:
    """Return the generator with one option changed."""
    sam = networks.build(arguments.network)
    if arguments.checkpoint is None:
        networks.fill(sam)
    else:
        load_network(arguments.network, lambda: sam, arguments.checkpoint)
    if variant == "fused":
        fuse_attention(sam.image_encoder)
    if variant in ("compiled", "graphs"):
        compile_encoder(sam.image_encoder, "reduce-overhead" if variant == "graphs" else True)
    options: dict[str, Any] = {} if arguments.checkpoint else dict(THRESHOLDS)
    if variant in ("bfloat16", "float16"):
        options["precision"] = variant
    return SamMasks(
        sam.to(chosen_device(arguments.device)),
        points_per_side=arguments.points_per_side,
        **options,
    )


def agreement(exact: Masks, masks: Masks) -> float:
    """Return the mean over `exact` of the best IoU with any of `masks`."""
    if len(exact) == 0 or len(masks) == 0:
        return float(len(exact) == len(masks))
    a, b = (stack.reshape(len(stack), -1).astype(np.float32) for stack in (exact, masks))
    both = a @ b.T
    either = a.sum(1)[:, None] + b.sum(1)[None] - both
    return float((both / np.maximum(either, 1)).max(1).mean())


def main() -> None:
    """Measure the variants and print a line for each as it is done."""
    options = parser(__doc__)
    options.add_argument("--data", type=Path, default=SHARED / "data" / "street_ood")
    options.add_argument("--network", default="sam_vit_b", choices=networks.NETWORKS)
    options.add_argument("--checkpoint", type=Path)
    add_device_argument(options)
    options.add_argument("--variants", nargs="+", default=VARIANTS[:4], choices=VARIANTS)
    options.add_argument("--points-per-side", type=int, default=8)
    options.add_argument("--frame", default="0016E5_08031")
    arguments = options.parse_args()
    scores = arguments.data / "dev_cas_espnetv2" / f"{arguments.frame}.npz"
    need(scores)
    image, labels = read_labelled(arguments.data / "dev", arguments.frame)
    score = read_score_map(scores, "void")
    score = (score - score.min()) / (score.max() - score.min())

    print(f"{'':10}{'encoder s':>10}{'decoder s':>10}{'post s':>8}{'masks':>7}{'IoU':>8}"
          f"{'mean diff':>11}{'max diff':>10}{'AuPRC':>8}")  # fmt: skip
    exact_masks: Masks | None = None
    exact_map: ScoreMap = score
    for variant in ("float32", *arguments.variants):
        found = generator(arguments, variant)
        if variant in ("compiled", "graphs"):
            found.segment(image)  # compiles
        result = found.segment(image)
        masks = result.masks.cpu().numpy()
        final = refine_boundary(calibrate(score, masks))
        if exact_masks is None:
            exact_masks, exact_map = masks, final
        difference = np.abs(final - exact_map)
        auprc = pixel_metrics([final], [labels]).auprc
        print(f"{variant:10}" + "".join(f"{seconds:10.2f}" for seconds in result.timings.values())
              + f"{len(masks):5}{agreement(exact_masks, masks):8.4f}{difference.mean():11.5f}"
              f"{difference.max():10.4f}{auprc:8.4f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    run(main)
