#!/usr/bin/env python3
"""What score-guided prompting costs, on stand-ins for SAM's answers.

    python -m tools.experiments.guided_prompts [--prompts 256] [--every 1] [--json]

No real SAM weights are used. A stand-in answers a point with the segment that holds it, so that
where the points are is all that differs between the full 32x32 grid and the guided points:
    segments  segments of the image by Felzenszwalb's algorithm at one fine scale;
    nested   three such maps, fine to coarse, and all three segments that hold the point, as SAM
             answers with part, object and whole;
    objects  connected parts of CamVid's labels and the pasted objects: what an ideal segmenter
             would find. It knows the truth, so its level says nothing; its difference does.
Coarse scores: the embedded detector and ESPNetv2's void output, frames of street_ood/dev. Figures
of the final map, after OASC and MBP: AuPRC, FPR95, and obstacles, which are true components of
which more than half the pixels score above the full grid's best-F1 threshold.
"""

from __future__ import annotations

import argparse
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
from objectomaly_ros.evaluation.metrics import pixel_metrics
from objectomaly_ros.masks.sam.guided import GuidedPoints
from objectomaly_ros.mbp import refine_boundary
from objectomaly_ros.oasc import calibrate
from objectomaly_ros.types import Masks, ScoreMap
from tools import SHARED

Labels = npt.NDArray[np.int32]
Points = npt.NDArray[np.floating]
SCALES = {"label_map": (15,), "nested": (15, 40, 100)}
SIZE = (240, 180)  # of the Felzenszwalb label_maps


@dataclass(frozen=True)
class Row:
    """One coarse score with one stand-in; fractions.

    Attributes:
        found_full, found_guided, found_both: obstacles found with either prompting, and with both.
    """

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
    """Return each stand-in's segmentations, label maps of any resolution."""
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
    """Return the segments that hold a point, (N, H, W) bool."""
    masks = []
    for labels in maps:
        height, width = labels.shape
        asked = labels[(points[:, 1] * height).astype(int), (points[:, 0] * width).astype(int)]
        masks += [labels == label for label in np.unique(asked)]
    return np.stack(masks)


def frames(data: Path, every: int) -> Iterator[tuple[dict[str, ScoreMap], Labels, dict[str, Any]]]:
    """Yield the coarse scores, the labels and the segmentations of each frame."""
    detector = load_detector("embedded")
    street = data / "street_ood"
    paths = sorted((street / "dev" / "images").glob("*.jpg"))[::every]
    for path in tqdm(paths, unit="frame", desc="frames", dynamic_ncols=True):
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        name = f"{path.stem}.png"
        labels = cv2.imread(str(street / "dev" / "labels_masks" / name), -1).astype(np.int32)
        semantic = cv2.imread(str(data / "camvid" / "val" / "labels" / name), -1).astype(np.int32)
        semantic[labels == 1] = 255  # the pasted object is a thing of its own
        void = np.load(street / "dev_cas_espnetv2" / f"{path.stem}.npz")["void"]
        scores = {"embedded": detector.score(image), "espnetv2 void": void.astype(np.float32)}
        yield scores, labels, segments(image, semantic)


def found(score: ScoreMap, labels: Labels, threshold: float) -> list[bool]:
    """Tell of each true component whether more than half of it scores above the threshold."""
    count, parts = cv2.connectedComponents((labels == 1).astype(np.uint8))
    return [bool((score[parts == part] > threshold).mean() > 0.5) for part in range(1, count)]


def measure(data: Path, prompts: int, every: int) -> list[Row]:
    """Measure every coarse score with every stand-in."""
    prompting: dict[str, Callable[[ScoreMap], Points]] = {
        "full": lambda score: GuidedPoints()(score.shape, None),
        "guided": lambda score: GuidedPoints(prompts)(score.shape, score),
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
    shared = SHARED
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--data", type=Path, default=shared / "data")
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
    main()
