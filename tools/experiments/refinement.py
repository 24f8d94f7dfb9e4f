#!/usr/bin/env python3
"""What refinement with `regions` is worth: the coarse score, + OASC, + OASC + MBP.

    python -m tools.experiments.refinement [--weights FILE] [--json]

For the embedded detector and for the stored maps of ESPNetv2 (void, maxlogit), on street_ood's dev
(also its odd and even frames alone) and dev_extra: AuPRC, FPR95, mean component F1 of both tracks,
in percent; then the milliseconds of each stage. Weights of your own are measured with --weights;
the rule with --overlap and --residual (largest and 0 are the paper's form).
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2

from objectomaly_ros.cli.options import add_rule_arguments
from objectomaly_ros.evaluation.metrics import component_metrics, pixel_metrics
from objectomaly_ros.masks.regions import RegionMasks
from objectomaly_ros.mbp import refine_boundary
from objectomaly_ros.models.timing import Stopwatch
from objectomaly_ros.oasc import OascRule, rule_for
from objectomaly_ros.types import ScoreMap
from objectomaly_ros.video.mask_set import cells, find_masks
from tools import SHARED
from tools.experiments.frame_scores import CACHE, FrameScores, read_frames

STAGES = ("coarse", "+ OASC", "+ OASC + MBP")
TITLES = ("AuPRC", "FPR95", "F1 anomaly", "F1 obstacle")


@dataclass(frozen=True)
class Row:
    """One line of the table, in percent."""

    part: str
    detector: str
    stage: str
    auprc: float
    fpr95: float
    f1_anomaly: float
    f1_obstacle: float


def refine_all(
    frames: Sequence[FrameScores], generator: RegionMasks, rule: OascRule, watch: Stopwatch
) -> dict[tuple[str, str], list[ScoreMap]]:
    """Return the scores of every detector after every stage, frame after frame."""
    scores: dict[tuple[str, str], list[ScoreMap]] = defaultdict(list)
    for frame in frames:
        with watch.stage("regions"):
            found = find_masks(generator, frame.image, None)
        with watch.stage("cells"):
            ready = cells(found, frame.labels.shape, rule)
        for detector, coarse in frame.coarse.items():
            with watch.stage("OASC"):
                calibrated = ready.calibrate(coarse)
            with watch.stage("MBP"):
                refined = refine_boundary(calibrated)
            for stage, score in zip(STAGES, (coarse, calibrated, refined), strict=True):
                scores[detector, stage].append(score)
    return scores


def measure(part: str, detector: str, stage: str, scores: list[ScoreMap], labels: list) -> Row:
    """Measure one list of score maps against its labels."""
    pixel = pixel_metrics(scores, labels)
    tracks = (
        component_metrics(scores, labels, pixel.best_f1_threshold, track).f1
        for track in ("AnomalyTrack", "ObstacleTrack")
    )
    figures = (round(100 * value, 2) for value in (pixel.auprc, pixel.fpr95, *tracks))
    return Row(part, detector, stage, *figures)


def main() -> None:
    """Measure and print."""
    shared = SHARED
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--data", type=Path, default=shared / "data" / "street_ood")
    p.add_argument("--weights", type=Path, help="of the embedded detector; default: the package's")
    p.add_argument("--cache", type=Path, default=CACHE, help="folder for the coarse scores")
    p.add_argument("--json", action="store_true", help="print JSON instead of tables")
    add_rule_arguments(p)
    args = p.parse_args()
    cv2.setNumThreads(1)
    generator, watch = RegionMasks(), Stopwatch("regions", "cells", "OASC", "MBP")
    runs = dict.fromkeys(("regions", "cells", "OASC", "MBP"), 0)
    rule = rule_for(generator, args.overlap, args.residual)
    rows = []
    for part in ("dev", "dev_extra"):
        frames = list(read_frames(args.data / part, args.weights, args.cache))
        labels = [frame.labels for frame in frames]
        halves = {part: slice(None)}
        if part == "dev":
            halves |= {"dev odd": slice(0, None, 2), "dev even": slice(1, None, 2)}
        n_scores = sum(len(frame.coarse) for frame in frames)
        for stage in runs:
            runs[stage] += len(frames) if stage in ("regions", "cells") else n_scores
        for (detector, stage), scores in refine_all(frames, generator, rule, watch).items():
            for name, chosen in halves.items():
                rows.append(measure(name, detector, stage, scores[chosen], labels[chosen]))
    times = {stage: 1e3 * s / max(1, runs[stage]) for stage, s in watch.seconds().items()}
    if args.json:
        content = {"rule": asdict(rule), "rows": [asdict(row) for row in rows], "ms": times}
        print(json.dumps(content, indent=1))
        return
    print(rule)
    print(f"{'':11}{'':10}{'':14}" + "".join(f"{title:>13}" for title in TITLES))
    for row in sorted(rows, key=lambda row: (row.part, row.detector)):
        figures = (row.auprc, row.fpr95, row.f1_anomaly, row.f1_obstacle)
        print(
            f"{row.part:11}{row.detector:10}{row.stage:14}" + "".join(f"{f:13.1f}" for f in figures)
        )
    for stage, milliseconds in times.items():
        print(f"{stage:8} {milliseconds:8.2f} ms on average")


if __name__ == "__main__":
    main()
