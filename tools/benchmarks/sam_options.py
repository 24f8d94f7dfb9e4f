#!/usr/bin/env python3
"""What the options of SAM's masks that trade exactness cost, against plain float32.

    python -m tools.benchmarks.sam_options [--network sam_vit_b] [--checkpoint FILE] [--device cpu]
        [--variants fused bfloat16 float16 compiled graphs] [--points-per-side 8]

One street frame with pasted obstacles and ESPNetv2's coarse score of it (shared/data). For each
variant: seconds a stage, how many masks, how well they match float32's (mean IoU of each of
float32's masks with its best match), and the difference of the final map after OASC and MBP, in
the coarse score's range: mean and greatest; and AuPRC. Without a checkpoint the weights are
stand-ins, and such a network passes rounding on more than a trained one does. `objectomaly
benchmark masks` compares with the official generator. `graphs` is compiled=reduce-overhead, which
differs from `compiled` on a GPU only.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from objectomaly_ros.benchmark import networks
from objectomaly_ros.evaluation.metrics import pixel_metrics
from objectomaly_ros.masks.sam.attention import fuse_attention
from objectomaly_ros.masks.sam.compilation import compile_encoder
from objectomaly_ros.masks.sam.generator import SamMasks
from objectomaly_ros.masks.sam.loading import load_weights
from objectomaly_ros.mbp import refine_boundary
from objectomaly_ros.oasc import calibrate
from objectomaly_ros.types import Masks, ScoreMap
from tools import SHARED

VARIANTS = ("fused", "bfloat16", "float16", "compiled", "graphs")
THRESHOLDS = {"pred_iou_thresh": 0.85, "stability_score_thresh": 0.5, "box_nms_thresh": 0.9}


def generator(arguments: argparse.Namespace, variant: str) -> SamMasks:
    """Return the generator with one option changed."""
    sam = networks.build(arguments.network)
    if arguments.checkpoint is None:
        networks.fill(sam)
    else:
        load_weights(sam, arguments.checkpoint, arguments.network)
    if variant == "fused":
        fuse_attention(sam.image_encoder)
    if variant in ("compiled", "graphs"):
        compile_encoder(sam.image_encoder, "reduce-overhead" if variant == "graphs" else True)
    options: dict[str, Any] = {} if arguments.checkpoint else dict(THRESHOLDS)
    if variant in ("bfloat16", "float16"):
        options["precision"] = variant
    return SamMasks(sam.to(arguments.device), points_per_side=arguments.points_per_side, **options)


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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="sam_vit_b", choices=networks.NETWORKS)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--variants", nargs="+", default=VARIANTS[:4], choices=VARIANTS)
    parser.add_argument("--points-per-side", type=int, default=8)
    parser.add_argument("--frame", default="0016E5_08031")
    arguments = parser.parse_args()
    shared = SHARED
    data = shared / "data" / "street_ood"
    image = cv2.imread(str(next((data / "dev" / "images").glob(f"{arguments.frame}*"))))[..., ::-1]
    labels = cv2.imread(
        str(next((data / "dev" / "labels_masks").glob(f"{arguments.frame}*"))), cv2.IMREAD_UNCHANGED
    )
    score = np.load(data / "dev_cas_espnetv2" / f"{arguments.frame}.npz")["void"].astype(np.float32)
    score = (score - score.min()) / (score.max() - score.min())

    print(f"{'':10}{'encoder s':>10}{'decoder s':>10}{'post s':>8}{'masks':>7}{'IoU':>8}"
          f"{'mean diff':>11}{'max diff':>10}{'AuPRC':>8}")  # fmt: skip
    exact_masks: Masks | None = None
    exact_map: ScoreMap = score
    for variant in ("float32", *arguments.variants):
        found = generator(arguments, variant)
        if variant in ("compiled", "graphs"):
            found.segment(image)  # compiles
        result = found.segment(np.ascontiguousarray(image))
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
    main()
