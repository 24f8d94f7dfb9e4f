"""Measure refinement with the masks of other frames: flow, both, hold and none, by age.

    scripts/env python -m tools.experiments.propagation [--plot docs/propagation.png]

On street_ood/clip_dev (15 Hz): AuPRC and FPR95 in percent of the embedded detector and of ESPNetv2
(void, maxlogit), with masks that are 5, 15 and 30 frames old and with a keyframe on every 15th
frame, against no refinement and masks of the frame itself. The figures for every 15th frame are
means over clips that start at five frames: between single choices of keyframes the kept share of
the gain differs by tens of percent. `flow` carries the masks forwards alone, as the node does,
`both` those of the keyframes before and after the frame, as `objectomaly bag` does (for every n-th
frame only; `--cadence` is n).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.evaluation.metrics import pixel_metrics
from objectomaly_ros.files.writing import replacing
from objectomaly_ros.masks.regions import RegionMasks
from objectomaly_ros.mbp import refine_boundary
from objectomaly_ros.oasc import rule_for
from objectomaly_ros.types import ScoreMap
from objectomaly_ros.video.cells import Cells, calibrate_between
from objectomaly_ros.video.mask_set import cells
from objectomaly_ros.video.optical_flow import FlowPropagation
from tools import SHARED
from tools.command import run
from tools.experiments.frame_scores import FrameScores, options, read_frames

RATE_HZ = 15
AGES = (1, 5, 10, 15, 20, 30)
TABLE_AGES = (5, 15, 30)
CADENCE = 15
BEGINNINGS = (0, 3, 6, 9, 12)
"""Frames at which the clip starts, each with other keyframes; the figures are averaged."""
TRACKS = 5
"""Flows that share the keyframes, since one flow carries a limited number."""

Pair = tuple[int, int]
"""A frame and the keyframe of its masks."""
Maps = dict[Pair, ScoreMap]
MODES = ("coarse", "own", "flow", "both", "hold", "none")


@dataclass(frozen=True)
class Row:
    """(AuPRC, FPR95) in percent of one detector, by mode."""

    detector: str
    masks: str
    frames: int
    coarse: tuple[float, float]
    own: tuple[float, float]
    flow: tuple[float, float]
    both: tuple[float, float]
    hold: tuple[float, float]
    none: tuple[float, float]

    def kept(self, mode: str) -> str:
        """Return how much of the gain of own masks a mode keeps, AuPRC/FPR95 in percent."""
        shares = []
        for got, own, coarse in zip(getattr(self, mode), self.own, self.coarse, strict=True):
            # A share of next to no gain means nothing (AuPRC of the max logit).
            gains = abs(own - coarse) >= 0.1 and (own > coarse) == (not shares)
            shares.append(f"{100 * (got - coarse) / (own - coarse):.0f}" if gains else "-")
        return "/".join(shares)


@dataclass(frozen=True)
class Masks:
    """The masks of every frame.

    Attributes:
        own: the frame's masks.
        fresh: superpixels of the frame, to be fused with older masks; None if there are none.
        moved: ids of the pair's keyframe, warped to the pair's frame.
        cadence: frames between keyframes, for `both`.
    """

    own: list[Cells]
    fresh: list[Cells] | None
    moved: dict[Pair, npt.NDArray[np.uint16]]
    cadence: int = CADENCE


def every_nth(count: int, n: int, first: int = 0) -> list[Pair]:
    """Return every frame from `first` on with the last keyframe, one every `n` frames."""
    return [(frame, frame - (frame - first) % n) for frame in range(first, count)]


def of_age(count: int, age: int) -> list[Pair]:
    """Return every frame with the frame `age` before it."""
    return [(frame, frame - age) for frame in range(age, count)]


def follow(
    frames: Sequence[FrameScores], own: list[Cells]
) -> tuple[dict[Pair, npt.NDArray[np.uint16]], float]:
    """Return the ids of every keyframe warped to later frames, and the milliseconds of a flow."""
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
                moved[index, keyframe] = flow.warp(key, own[keyframe].ids.astype(np.uint16))
            if index % TRACKS == first:
                keys[index] = flow.start()
            for keyframe in [k for k in keys if index - k >= max(AGES)]:
                flow.drop(keys.pop(keyframe))
    return moved, median(times)


def follow_both(
    frames: Sequence[FrameScores], own: list[Cells]
) -> tuple[dict[Pair, npt.NDArray[np.uint16]], float]:
    """Return the ids of every keyframe warped to later and to earlier frames; see `follow`."""
    last = len(frames) - 1
    moved, flow_ms = follow(frames, own)
    earlier, _ = follow(frames[::-1], own[::-1])
    moved |= {(last - frame, last - keyframe): ids for (frame, keyframe), ids in earlier.items()}
    return moved, flow_ms


def refine(
    frames: Sequence[FrameScores], masks: Masks, detector: str, wanted: set[Pair]
) -> dict[str, Maps]:
    """Return one detector's refined scores of the `wanted` pairs, by mode."""
    maps: dict[str, Maps] = {mode: {} for mode in MODES}
    coarse = [frame.coarse[detector] for frame in frames]
    own = [
        refine_boundary(ready.calibrate(score))
        for ready, score in zip(masks.own, coarse, strict=True)
    ]
    for keyframe, ready in enumerate(masks.own):
        for frame in range(keyframe + 1, min(len(frames), keyframe + max(AGES) + 1)):
            pair, age_s = (frame, keyframe), (frame - keyframe) / RATE_HZ
            if pair not in wanted:
                continue
            fresh = masks.fresh[frame] if masks.fresh else None
            moved = ready.with_ids(masks.moved[pair]).calibrate(coarse[frame], age_s, fresh)
            held = ready.calibrate(coarse[frame], age_s, fresh)
            maps["flow"][pair] = maps["both"][pair] = refine_boundary(moved)
            after = keyframe + masks.cadence
            if frame < after < len(frames):
                sides = [
                    (masks.own[key].with_ids(masks.moved[frame, key]), abs(frame - key) / RATE_HZ)
                    for key in (keyframe, after)
                ]
                between = calibrate_between(coarse[frame], sides[0], sides[1], fresh)
                maps["both"][pair] = refine_boundary(between)
            maps["hold"][pair] = refine_boundary(held)
    for pair in wanted:
        frame, keyframe = pair
        maps["coarse"][pair], maps["own"][pair] = coarse[frame], own[frame]
        maps["none"][pair] = own[frame] if frame == keyframe else coarse[frame]
        if frame == keyframe:
            for mode in ("flow", "both", "hold"):
                maps[mode][pair] = own[frame]
    return maps


def measure(
    frames: Sequence[FrameScores],
    maps: dict[str, Maps],
    detector: str,
    name: str,
    clips: list[list[Pair]],
) -> Row:
    """Measure the maps of `refine` on each clip, and average over the clips."""

    def figures(maps: Maps) -> tuple[float, float]:
        of_clips = []
        for pairs in clips:
            labels = [frames[frame].labels for frame, _ in pairs]
            pixel = pixel_metrics([maps[pair] for pair in pairs], labels)
            of_clips.append((100 * pixel.auprc, 100 * pixel.fpr95))
        auprc, fpr95 = np.mean(of_clips, axis=0)
        return round(float(auprc), 2), round(float(fpr95), 2)

    number = max(len(pairs) for pairs in clips)
    return Row(detector, name, number, *(figures(maps[mode]) for mode in MODES))


def plot(path: Path, rows: list[Row]) -> None:
    """Draw AuPRC and FPR95 over the age of the masks, one column for each detector."""
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
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=90)


def main() -> None:
    """Measure, print, draw."""
    p = options(__doc__, SHARED / "data" / "street_ood")
    p.add_argument("--plot", type=Path, help="file for the curves over the age")
    p.add_argument("--fade-s", type=float, help="another value of the rule's; inf for never")
    p.add_argument("--cadence", type=int, default=CADENCE, help="frames between keyframes")
    p.add_argument("--fresh-levels", type=int, default=2, help="superpixels of the frame; 0: none")
    args = p.parse_args()
    cv2.setNumThreads(1)
    generator = RegionMasks(fresh_levels=args.fresh_levels)
    rule = rule_for(generator, fade_s=args.fade_s)
    frames = list(read_frames(args.data / "clip_dev", args.weights, args.cache))
    shape = frames[0].labels.shape
    own = [cells(generator.find(f.image), shape, rule) for f in frames]
    fresh, times = None, []
    if generator.frame_superpixels is not None:
        fresh = []
        for frame in frames:
            began = perf_counter()
            label_maps = generator.frame_superpixels.label_maps(frame.image)
            fresh.append(Cells.from_label_maps(label_maps, shape, rule=rule))
            times.append(1e3 * (perf_counter() - began))
    moved, flow_ms = follow_both(frames, own)
    fresh_ms = median(times) if times else 0.0
    by_age = {age: of_age(len(frames), age) for age in (AGES if args.plot else TABLE_AGES)}
    clips = [every_nth(len(frames), args.cadence, first) for first in BEGINNINGS]
    wanted = {pair for pairs in [*by_age.values(), *clips] for pair in pairs}
    rows, curve = [], []
    for detector in frames[0].coarse:
        maps = refine(frames, Masks(own, fresh, moved, args.cadence), detector, wanted)
        for age, pairs in by_age.items():
            row = measure(frames, maps, detector, f"{age} frames old", [pairs])
            curve.append(row)
            if age in TABLE_AGES:
                rows.append(row)
        rows.append(measure(frames, maps, detector, f"every {args.cadence}th frame", clips))
    if args.plot:
        plot(args.plot, curve)
    if args.json:
        text = {"rows": [asdict(row) for row in rows], "flow_ms": flow_ms, "fresh_ms": fresh_ms}
        print(json.dumps(text, indent=1))
        return
    print(
        f"{'AuPRC FPR95 in %':30}{'frames':>7}"
        + "".join(f"{mode:>13}" for mode in MODES)
        + "  flow keeps %"
    )
    for row in rows:
        text = "".join("{:7.1f}{:6.1f}".format(*getattr(row, mode)) for mode in MODES)
        print(f"{row.detector:11}{row.masks:19}{row.frames:7}{text}  {row.kept('flow')}")
    print(f"flow of a frame: median {flow_ms:.1f} ms; superpixels: {fresh_ms:.1f} ms")


if __name__ == "__main__":
    run(main)
