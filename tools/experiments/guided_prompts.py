"""Measure what score-guided prompting loses against the full grid, with stand-ins for SAM.

    scripts/env python -m tools.experiments.guided_prompts [--prompts 256] [--every 1]

No SAM weights are used. A stand-in answers a point with the segment that contains it, so that only
the points differ between the full 32x32 grid and guided prompting:
    segments  Felzenszwalb's segments of the image at one fine scale;
    nested    three such maps, fine to coarse, with all three segments of the point, as SAM answers
              with part, object and whole;
    objects   connected components of CamVid's labels and the pasted objects, as of an ideal
              segmenter. It knows the truth: only its difference counts.
Coarse scores: the embedded detector and the void output of ESPNetv2 on frames of street_ood/dev.
Figures of the final map, after OASC and MBP: AuPRC, FPR95, and obstacles found, which are true
components with more than half of their pixels above the full grid's best-F1 threshold.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from skimage.segmentation import felzenszwalb
from tqdm import tqdm

from objectomaly_ros.detectors import load_detector
from objectomaly_ros.detectors.score_files import read_score_map
from objectomaly_ros.evaluation.metrics import pixel_metrics
from objectomaly_ros.masks.sam.prompts import GuidedPoints
from objectomaly_ros.mbp import refine_boundary
from objectomaly_ros.oasc import calibrate
from objectomaly_ros.types import Masks, ScoreMap
from tools import SHARED
from tools.command import need, parser, run
from tools.labelled import names, read_labelled

Labels = npt.NDArray[np.int32]
Points = npt.NDArray[np.floating]
SCALES = {"segments": (15,), "nested": (15, 40, 100)}
SIZE = (240, 180)  # of the image for Felzenszwalb's algorithm


@dataclass(frozen=True)
class Row:
    """One coarse score with one stand-in; fractions, and numbers of obstacles found."""

    coarse: str
    stand_in: str
    prompts: int
    auprc_full: float
    auprc_guided: float
    fpr95_full: float
    fpr95_guided: float
    obstacles: int
    found_full: int
    found_guided: int
    found_both: int


def segments(image: npt.NDArray[np.uint8], semantic: Labels) -> dict[str, list[Labels]]:
    """Return the label maps of each stand-in, of any resolution."""
    small = cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA)
    label_maps = {
        scale: felzenszwalb(small, scale=scale, sigma=0.8, min_size=5).astype(np.int32)
        for scale in SCALES["nested"]
    }
    objects = np.zeros(semantic.shape, np.int32)
    for label in np.unique(semantic):
        parts = cv2.connectedComponents((semantic == label).astype(np.uint8))[1]
        objects[parts > 0] = parts[parts > 0] + objects.max()
    stand_ins = {name: [label_maps[scale] for scale in scales] for name, scales in SCALES.items()}
    return {**stand_ins, "objects": [objects]}


def answer(maps: list[Labels], points: Points) -> Masks:
    """Return the segments that contain a point, (N, H, W) bool."""
    masks = []
    for labels in maps:
        height, width = labels.shape
        asked = labels[(points[:, 1] * height).astype(int), (points[:, 0] * width).astype(int)]
        masks += [labels == label for label in np.unique(asked)]
    return np.stack(masks)


def frames(data: Path, every: int) -> Iterator[tuple[dict[str, ScoreMap], Labels, dict[str, Any]]]:
    """Yield the coarse scores, the labels and the segmentations of each frame."""
    dev, scores_of_void = data / "street_ood" / "dev", data / "street_ood" / "dev_cas_espnetv2"
    chosen = names(dev)[::every]
    need(scores_of_void, data / "camvid" / "val")
    detector = load_detector("embedded")
    for name in tqdm(chosen, unit="frame", desc="frames", dynamic_ncols=True):
        image, labels = read_labelled(dev, name)
        semantic = read_labelled(data / "camvid" / "val", name, "labels")[1].astype(np.int32)
        semantic[labels == 1] = 255  # the pasted object is an object of its own
        void = read_score_map(scores_of_void / f"{name}.npz", "void")
        scores = {"embedded": detector.score(image), "espnetv2 void": void}
        yield scores, labels.astype(np.int32), segments(image, semantic)


def found(score: ScoreMap, labels: Labels, threshold: float) -> list[bool]:
    """Tell for each true component whether more than half of it is above the threshold."""
    count, parts = cv2.connectedComponents((labels == 1).astype(np.uint8))
    return [bool((score[parts == part] > threshold).mean() > 0.5) for part in range(1, count)]


def measure(data: Path, prompts: int, every: int) -> list[Row]:
    """Measure every coarse score with every stand-in."""
    prompting: dict[str, Callable[[ScoreMap], Points]] = {
        "full": lambda score: GuidedPoints()(None),
        "guided": lambda score: GuidedPoints(prompts)(score),
    }
    maps: dict[tuple[str, str, str], list[ScoreMap]] = {}
    truth: list[Labels] = []
    for scores, labels, stand_ins in frames(data, every):
        truth.append(labels)
        for coarse, score in scores.items():
            for stand_in, segmentation in stand_ins.items():
                for kind, points in prompting.items():
                    masks = answer(segmentation, points(score))
                    final = refine_boundary(calibrate(score, masks))
                    maps.setdefault((coarse, stand_in, kind), []).append(final)
    return [
        _row(coarse, stand_in, prompts, maps[coarse, stand_in, "full"], guided, truth)
        for (coarse, stand_in, kind), guided in maps.items()
        if kind == "guided"
    ]


def _row(
    coarse: str,
    stand_in: str,
    prompts: int,
    full: list[ScoreMap],
    guided: list[ScoreMap],
    truth: list[Labels],
) -> Row:
    of_full, of_guided = pixel_metrics(full, truth), pixel_metrics(guided, truth)
    threshold = of_full.best_f1_threshold
    hits = [
        np.concatenate(
            [found(s, labels, threshold) for s, labels in zip(scores, truth, strict=True)]
        ).astype(bool)
        for scores in (full, guided)
    ]
    return Row(
        coarse,
        stand_in,
        prompts,
        of_full.auprc,
        of_guided.auprc,
        of_full.fpr95,
        of_guided.fpr95,
        len(hits[0]),
        int(hits[0].sum()),
        int(hits[1].sum()),
        int((hits[0] & hits[1]).sum()),
    )


def main() -> None:
    """Measure and print a table."""
    p = parser(__doc__)
    p.add_argument("--data", type=Path, default=SHARED / "data")
    p.add_argument("--prompts", type=int, default=256, help="guided points; the full grid has 1024")
    p.add_argument("--every", type=int, default=1, metavar="N", help="every Nth frame only")
    p.add_argument("--json", action="store_true")
    args = p.parse_args()
    rows = measure(args.data, args.prompts, args.every)
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return
    print(f"1024 points -> {args.prompts}; stand-ins for SAM, no real SAM weights; in %")
    print("coarse         stand-in  AuPRC full guided   diff  FPR95 full guided  obstacles found")
    for r in rows:
        print(
            f"{r.coarse:14} {r.stand_in:9} {100 * r.auprc_full:10.2f} {100 * r.auprc_guided:6.2f} "
            f"{100 * (r.auprc_guided - r.auprc_full):+6.2f} {100 * r.fpr95_full:11.2f} "
            f"{100 * r.fpr95_guided:6.2f}  {r.found_full} -> {r.found_guided} of {r.obstacles}, "
            f"{r.found_both} with both"
        )


if __name__ == "__main__":
    run(main)
