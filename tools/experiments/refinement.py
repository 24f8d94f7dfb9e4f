"""Measure refinement with `regions`: coarse score, + OASC, + OASC + MBP.

    scripts/env python -m tools.experiments.refinement [--weights FILE] [--overlap largest]

For the embedded detector and the coarse scores of ESPNetv2 (void, maxlogit), on dev of street_ood
(also its odd and even frames alone) and dev_extra: AuPRC, FPR95 and mean component F1 of both
tracks, in percent; then the milliseconds of each stage.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass

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
from tools.command import run
from tools.experiments.frame_scores import FrameScores, options, read_frames

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
    """Measure score maps against labels."""
    pixel = pixel_metrics(scores, labels)
    tracks = (
        component_metrics(scores, labels, pixel.best_f1_threshold, track).f1
        for track in ("AnomalyTrack", "ObstacleTrack")
    )
    figures = (round(100 * value, 2) for value in (pixel.auprc, pixel.fpr95, *tracks))
    return Row(part, detector, stage, *figures)


def main() -> None:
    """Measure and print."""
    p = options(__doc__, SHARED / "data" / "street_ood")
    add_rule_arguments(p)
    args = p.parse_args()
    cv2.setNumThreads(1)
    generator, watch = RegionMasks(), Stopwatch("regions", "cells", "OASC", "MBP")
    rule = rule_for(generator, args.overlap, args.residual)
    rows, n_frames, n_scores = [], 0, 0
    for part in ("dev", "dev_extra"):
        frames = list(read_frames(args.data / part, args.weights, args.cache))
        n_frames += len(frames)
        n_scores += sum(len(frame.coarse) for frame in frames)
        labels = [frame.labels for frame in frames]
        halves = {part: slice(None)}
        if part == "dev":
            halves |= {"dev odd": slice(0, None, 2), "dev even": slice(1, None, 2)}
        for (detector, stage), scores in refine_all(frames, generator, rule, watch).items():
            for name, chosen in halves.items():
                rows.append(measure(name, detector, stage, scores[chosen], labels[chosen]))
    times = {
        stage: 1e3 * seconds / (n_frames if stage in ("regions", "cells") else n_scores)
        for stage, seconds in watch.seconds().items()
    }
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
    run(main)
