"""Measure what old masks cost: obstacles that appear suddenly, and false alarms.

    scripts/env python -m tools.experiments.sudden_obstacles [--weights FILE]

With the embedded detector and masks of an earlier frame that follow optical flow:
- street_ood/clip_dev, its obstacles absent (the CamVid frame itself) until six frames after the
  keyframe: the share of their pixels above a threshold in the frame where they appear, and after;
- camvid/val, without obstacles, a keyframe every 15 frames: the share of the labelled area above.
The thresholds are those at which the coarse score finds 95 % and 80 % of the pixels in clip_dev.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.masks.regions import RegionMasks
from objectomaly_ros.mbp import refine_boundary
from objectomaly_ros.types import ScoreMap
from objectomaly_ros.video.cells import Cells
from objectomaly_ros.video.mask_set import cells, find_masks
from objectomaly_ros.video.optical_flow import FlowPropagation
from tools import SHARED
from tools.command import need, run
from tools.experiments.frame_scores import EmbeddedScores, FrameScores, options, read_frames
from tools.experiments.propagation import CADENCE, RATE_HZ
from tools.labelled import names, read_labelled

DETECTOR = "embedded"
RECALLS = (0.95, 0.8)
CLEAN_FRAMES = 6
"""Frames before the obstacles appear, the keyframe included."""
LAGS = (0, 1, 2, 4)
KEYFRAMES_APART = 3
VOID = 11
"""CamVid's class of unlabelled pixels."""
VARIANTS = ("coarse", "every frame", "flow")


def drive(frames: Sequence[FrameScores], variant: str) -> Iterator[ScoreMap]:
    """Yield the score of one frame after another, the first being the keyframe; see VARIANTS."""
    generator = RegionMasks()
    rule = generator.recommended_rule
    shape = frames[0].labels.shape
    flow = FlowPropagation()
    for index, frame in enumerate(frames):
        score = frame.coarse[DETECTOR]
        if variant == "coarse":
            yield score
            continue
        flow.step(frame.image)
        if index == 0 or variant == "every frame":
            ready = cells(find_masks(generator, frame.image, None), shape, rule)
            key = flow.start()
            yield refine_boundary(ready.calibrate(score))
            continue
        assert generator.frame_superpixels is not None
        fresh = Cells.from_label_maps(
            generator.frame_superpixels.label_maps(frame.image), shape, rule=rule
        )
        there = ready.with_ids(flow.warp(key, ready.ids))
        yield refine_boundary(there.calibrate(score, index / RATE_HZ, fresh))


def share_above(
    drives: Sequence[Sequence[FrameScores]],
    variant: str,
    thresholds: Sequence[float],
    label: int,
    lags: Sequence[int] | None = None,
) -> dict[int, list[float]]:
    """Return the percentage of the pixels of a label above each threshold, by frame or in all.

    Args:
        drives: each begins with its keyframe.
        variant: one of VARIANTS.
        thresholds: of the score.
        label: 0 or 1.
        lags: frames of each drive, the keys of the result; None counts all together, as key 0.
    """
    counts: dict[int, npt.NDArray[np.int64]] = {}
    for frames in drives:
        for index, score in enumerate(drive(frames, variant)):
            if lags is None or index in lags:
                values = score[frames[index].labels == label]
                found = np.array([values.size, *((values > t).sum() for t in thresholds)])
                group = index if lags is not None else 0
                counts[group] = counts.get(group, 0) + found
    return {group: list((100 * n[1:] / n[0]).round(2)) for group, n in counts.items()}


def sudden(seen: Sequence[FrameScores], clean: Sequence[FrameScores]) -> list[list[FrameScores]]:
    """Return drives in which the obstacles of `seen` appear after CLEAN_FRAMES of `clean`."""
    length = CLEAN_FRAMES + max(LAGS) + 1
    starts = range(0, len(seen) - length + 1, KEYFRAMES_APART)
    return [[*clean[k : k + CLEAN_FRAMES], *seen[k + CLEAN_FRAMES : k + length]] for k in starts]


def clean_frames(part: Path, weights: Path | None, cache: Path) -> list[FrameScores]:
    """Read the frames of a CamVid folder in order, labels 0 or 255 for no class."""
    score, frames = EmbeddedScores(weights, cache), []
    for name in names(part):
        image, classes = read_labelled(part, name, "labels")
        labels = np.where(classes < VOID, 0, 255).astype(np.uint8)
        frames.append(FrameScores(image, labels, {DETECTOR: score(image)}))
    return frames


def main() -> None:
    """Measure and print."""
    args = options(__doc__, SHARED / "data").parse_args()
    cv2.setNumThreads(1)
    need(args.data / "camvid" / "val")
    seen = list(read_frames(args.data / "street_ood" / "clip_dev", args.weights, args.cache))
    # The clip was made of the first frames of CamVid val, in their order.
    clean = clean_frames(args.data / "camvid" / "val", args.weights, args.cache)
    anomalous = np.concatenate([f.coarse[DETECTOR][f.labels == 1] for f in seen])
    thresholds = [float(np.quantile(anomalous, 1 - recall)) for recall in RECALLS]
    appear = sudden(seen, clean)
    empty = [clean[k : k + CADENCE] for k in range(0, len(clean), CADENCE)]
    lags = [CLEAN_FRAMES + lag for lag in LAGS]
    found = {v: share_above(appear, v, thresholds, 1, lags) for v in VARIANTS}
    alarms = {v: share_above(empty, v, thresholds, 0)[0] for v in VARIANTS}
    if args.json:
        print(json.dumps({"found": found, "false_alarms": alarms, "levels": thresholds}, indent=1))
        return
    for k, recall in enumerate(RECALLS):
        print(f"above the level of {100 * recall:.0f} % recall ({thresholds[k]:.4g}), in %:")
        print(f"  {'':22}" + "".join(f"{f'{lag} later':>9}" for lag in LAGS) + "   false alarms")
        for v in VARIANTS:
            shares = "".join(f"{found[v][lag][k]:9.1f}" for lag in lags)
            print(f"  {v:22}{shares}{alarms[v][k]:15.2f}")


if __name__ == "__main__":
    run(main)
