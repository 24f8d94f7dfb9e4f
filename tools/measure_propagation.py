#!/usr/bin/env python3
"""What masks made for an earlier frame are still worth: flow, hold, none, by their age.

    python tools/measure_propagation.py [--weights FILE] [--json] [--plot docs/propagation.png]

On street_ood/clip_dev (15 Hz): AuPRC and FPR95 in percent of the embedded detector and of ESPNetv2
(void, maxlogit), with masks of 5, 15 and 30 frames before each frame, and with a keyframe every
15th frame, beside no refinement and refinement with masks of the frame itself, on the same frames.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import cv2

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tools")]

from refinement_frames import FrameScores, read_frames  # noqa: E402

from objectomaly_ros.cells import Cells  # noqa: E402
from objectomaly_ros.evaluation.metrics import pixel_metrics  # noqa: E402
from objectomaly_ros.masks.regions import RegionMasks  # noqa: E402
from objectomaly_ros.mbp import refine_boundary  # noqa: E402
from objectomaly_ros.oasc_rule import rule_for  # noqa: E402
from objectomaly_ros.propagation import FlowPropagation  # noqa: E402
from objectomaly_ros.types import ScoreMap  # noqa: E402

RATE_HZ = 15
AGES = (1, 5, 10, 15, 20, 30)
TABLE_AGES = (5, 15, 30)
CADENCE = 15
TRACKS = 5
"""Flows that share the keyframes among them: none carries more than it may at a time."""

Pair = tuple[int, int]
"""A frame and the keyframe that its masks were made for."""


@dataclass(frozen=True)
class Row:
    """Figures in percent: with no masks, with the frame's own, and by what older masks do."""

    detector: str
    masks: str
    frames: int
    coarse: tuple[float, float]
    own: tuple[float, float]
    flow: tuple[float, float]
    hold: tuple[float, float]
    none: tuple[float, float]


def every_nth(count: int, n: int) -> list[Pair]:
    """Keyframes at every n-th frame, used until the next."""
    return [(frame, frame - frame % n) for frame in range(count)]


def of_age(count: int, age: int) -> list[Pair]:
    """Every frame with the masks of `age` frames before."""
    return [(frame, frame - age) for frame in range(age, count)]


def follow(frames: Sequence[FrameScores], cells: list[Cells]) -> tuple[dict[Pair, Cells], float]:
    """Return every keyframe's cells moved to the frames after it, and the ms of a flow."""
    moved, times = {}, []
    for first in range(TRACKS):
        flow = FlowPropagation()
        keys: dict[int, int] = {}
        for index, frame in enumerate(frames):
            began = perf_counter()
            flow.step(frame.image)
            if keys:
                times.append(1e3 * (perf_counter() - began))
            for keyframe, key in keys.items():
                ids = flow.warp(key, cells[keyframe].ids)
                moved[index, keyframe] = cells[keyframe].with_ids(ids)
            if index % TRACKS == first:
                keys[index] = flow.start()
                moved[index, index] = cells[index]
            for keyframe in [k for k in keys if index - k >= max(AGES)]:
                flow.drop(keys.pop(keyframe))
    return moved, median(times)


def measure(
    frames: Sequence[FrameScores],
    cells: list[Cells],
    moved: dict[Pair, Cells],
    detector: str,
    masks: str,
    pairs: list[Pair],
) -> Row:
    """Measure one detector with masks of the keyframes that `pairs` name."""
    labels = [frames[frame].labels for frame, _ in pairs]

    def figures(scores: list[ScoreMap]) -> tuple[float, float]:
        pixel = pixel_metrics(scores, labels)
        return round(100 * pixel.auprc, 2), round(100 * pixel.fpr95, 2)

    def refined(frame: int, with_cells: Cells, keyframe: int) -> ScoreMap:
        age_s = (frame - keyframe) / RATE_HZ
        return refine_boundary(with_cells.calibrate(frames[frame].coarse[detector], age_s))

    coarse = [frames[f].coarse[detector] for f, _ in pairs]
    own = [refined(f, cells[f], f) for f, _ in pairs]
    return Row(
        detector,
        masks,
        len(pairs),
        figures(coarse),
        figures(own),
        figures([refined(f, moved[f, k], k) for f, k in pairs]),
        figures([refined(f, cells[k], k) for f, k in pairs]),
        figures([o if f == k else c for (f, k), o, c in zip(pairs, own, coarse, strict=True)]),
    )


def plot(path: Path, rows: list[Row]) -> None:
    """Draw AuPRC and FPR95 over the masks' age, one column a detector."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    detectors = list(dict.fromkeys(row.detector for row in rows))
    figure, axes = pyplot.subplots(2, len(detectors), figsize=(4 * len(detectors), 6), sharex=True)
    styles = {"coarse": "k:", "own": "C2-", "flow": "C0o-", "hold": "C1s--"}
    names = {"coarse": "no masks", "own": "masks of the frame itself"}
    for column, detector in enumerate(detectors):
        chosen = [row for row in rows if row.detector == detector]
        ages = [1e3 * int(row.masks.split()[0]) / RATE_HZ for row in chosen]
        for line, (what, axis) in enumerate(zip(("AuPRC", "FPR95"), axes[:, column], strict=True)):
            for key, style in styles.items():
                values = [getattr(row, key)[line] for row in chosen]
                axis.plot(ages, values, style, label=names.get(key, key), markersize=4)
            axis.set_title(
                f"{detector}: {what} in %, {'higher' if line == 0 else 'lower'} is better"
            )
            axis.grid(alpha=0.3)
        axes[1, column].set_xlabel("age of the masks in ms")
    axes[0, 0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def main() -> None:
    """Measure, print, draw."""
    shared = Path(os.environ.get("OBJECTOMALY_SHARED", REPOSITORY.parent / "shared"))
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--data", type=Path, default=shared / "data" / "street_ood")
    p.add_argument("--weights", type=Path, help="of the embedded detector; default: the package's")
    p.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "objectomaly_coarse")
    p.add_argument("--json", action="store_true", help="print JSON instead of the table")
    p.add_argument("--plot", type=Path, help="write the curves over the age here")
    args = p.parse_args()
    cv2.setNumThreads(1)
    generator = RegionMasks()
    rule = rule_for(generator)
    frames = list(read_frames(args.data / "clip_dev", args.weights, args.cache))
    shape = frames[0].labels.shape
    cells = [Cells.from_tilings(generator.tilings(f.image), shape, rule=rule) for f in frames]
    moved, flow_ms = follow(frames, cells)
    rows, curve = [], []
    for detector in frames[0].coarse:
        for age in AGES if args.plot else TABLE_AGES:
            pairs = of_age(len(frames), age)
            row = measure(frames, cells, moved, detector, f"{age} frames old", pairs)
            curve.append(row)
            if age in TABLE_AGES:
                rows.append(row)
        pairs = every_nth(len(frames), CADENCE)
        rows.append(measure(frames, cells, moved, detector, f"every {CADENCE}th frame", pairs))
    if args.plot:
        plot(args.plot, curve)
    if args.json:
        print(json.dumps({"rows": [asdict(row) for row in rows], "flow_ms": flow_ms}, indent=1))
        return
    columns = ("coarse", "own", "flow", "hold", "none")
    print(f"{'AuPRC FPR95 in %':30}{'frames':>7}" + "".join(f"{name:>13}" for name in columns))
    for row in rows:
        cells_text = "".join("{:7.1f}{:6.1f}".format(*getattr(row, name)) for name in columns)
        print(f"{row.detector:11}{row.masks:19}{row.frames:7}{cells_text}")
    print(f"one frame's flow: median {flow_ms:.1f} ms")


if __name__ == "__main__":
    main()
