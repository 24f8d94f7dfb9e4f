"""Times the stages of mask generation: ours and the official generator on the same weights."""

from __future__ import annotations

import copy
import inspect
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
import torch
from segment_anything import SamAutomaticMaskGenerator

from objectomaly_ros import mbp, oasc
from objectomaly_ros.benchmark.measuring import PeakMemory, timed_calls
from objectomaly_ros.gpu import mbp as gpu_mbp
from objectomaly_ros.gpu import oasc as gpu_oasc
from objectomaly_ros.masks.sam.encoder import Compiled, compile_encoder, fuse_attention
from objectomaly_ros.masks.sam.generator import SamMasks
from objectomaly_ros.masks.sam.loading import mask_generator
from objectomaly_ros.masks.sam.result import suppress
from objectomaly_ros.models.timing import Stopwatch
from objectomaly_ros.oasc import PAPER
from objectomaly_ros.types import Image, Masks, ScoreMap
from objectomaly_ros.video import mask_set

STAGES = ("encoder", "decoder", "post_processing", "oasc", "mbp")
_WANTED_MASKS = 100
_OFFICIAL_OPTIONS = frozenset(inspect.signature(SamAutomaticMaskGenerator).parameters) - {"model"}


@dataclass(frozen=True)
class RunLimits:
    """How often a benchmark repeats.

    Attributes:
        repeat: counted runs of each side, at least 1.
        seconds: no run starts after this time; one of each side is always counted.
        slow_s: the first runs, which warm up, count if the official generator takes longer than
            this. Infinite if ours compiles in its first run.
    """

    repeat: int
    seconds: float = math.inf
    slow_s: float = 15.0


@dataclass
class Result:
    """The times and masks of one generator.

    Attributes:
        seconds: of each stage, one number for each run.
        masks: of the last run, (N, H, W) bool.
        peak_mb: highest memory of a run, of tensors on a GPU or of the process on a CPU; None if
            the system does not tell it.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: {stage: [] for stage in STAGES})
    masks: Masks = field(default_factory=lambda: np.zeros((0, 0, 0), np.bool_))
    peak_mb: float | None = None

    def add(self, seconds: dict[str, float]) -> None:
        """Add the seconds of stages of a run."""
        for stage, value in seconds.items():
            self.seconds[stage].append(value)

    def milliseconds(self, stage: str) -> float:
        """Return the median of a stage."""
        return 1e3 * median(self.seconds[stage])

    @property
    def runs(self) -> int:
        """The number of counted runs."""
        return len(self.seconds[STAGES[0]])

    @property
    def total_ms(self) -> float:
        """The median of whole runs."""
        return 1e3 * median(map(sum, zip(*self.seconds.values(), strict=True)))


def thresholds(sam: Any, image: Image, options: dict[str, Any]) -> dict[str, float]:
    """Return filter options for a network with random weights.

    40 % of its masks pass the predicted quality, and a third of these the stability. Suppression of
    overlapping boxes then keeps at most about 100, as many as a trained SAM finds in a street.
    """
    everything = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0}
    found = mask_generator(sam, **{**options, **everything}).segment(image)
    quality = float(found.predicted_iou.quantile(0.6))
    good = found.select((found.predicted_iou > quality).nonzero()[:, 0])
    stability = float(good.stability_score.nan_to_num(0).quantile(0.67))
    stable = good.select((good.stability_score >= stability).nonzero()[:, 0])
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        kept = len(suppress(stable.boxes, stable.predicted_iou, middle))
        low, high = (middle, high) if kept < _WANTED_MASKS else (low, middle)
    return {
        "pred_iou_thresh": quality, "stability_score_thresh": stability, "box_nms_thresh": high
    }  # fmt: skip


def official_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return those options of ours that the official generator knows."""
    return {name: value for name, value in options.items() if name in _OFFICIAL_OPTIONS}


def accelerated(sam: Any, *, fused_attention: bool, compiled: Compiled) -> Any:
    """Return `sam`, or a copy of it with these options of `load_sam` in its image encoder."""
    if not (fused_attention or compiled):
        return sam
    sam = copy.deepcopy(sam)  # the official generator runs the plain encoder
    if fused_attention:
        fuse_attention(sam.image_encoder)
    if compiled:
        compile_encoder(sam.image_encoder, compiled)
    return sam


def compare(
    ours: Any,
    sam: Any,
    image: Image,
    score: ScoreMap,
    options: dict[str, Any],
    limits: RunLimits,
    progress: Callable[[str], object],
) -> tuple[Result, Result]:
    """Time ours and the official generator in turns.

    Args:
        ours: from `accelerated`.
        sam: a `segment_anything.modeling.Sam` on its device, for the official generator.
        image: (H, W, 3) RGB uint8.
        score: (H, W) float32 that OASC and MBP refine.
        options: of `sam.loading.mask_generator`; the official generator takes those it knows.
        limits: how often to run.
        progress: called with "ours" or "official" before each run, at most 2 repeat + 2 times.

    Returns:
        ours, official.
    """
    generator = mask_generator(ours, **options)
    official = SamAutomaticMaskGenerator(sam, **official_options(options))
    runs: dict[str, Callable[[Result], None]] = {
        "ours": lambda side: run_ours(generator, image, score, side),
        "official": lambda side: run_official(official, image, score, side),
    }

    def take_turns(sides: tuple[Result, Result]) -> None:
        for (whose, run), side in zip(runs.items(), sides, strict=True):
            progress(whose)
            memory = PeakMemory(generator.device)
            run(side)
            peak = memory.megabytes()
            side.peak_mb = max(filter(None, (side.peak_mb, peak)), default=None)

    began = time.perf_counter()
    sides = (Result(), Result())
    take_turns(sides)
    if sides[1].total_ms < 1e3 * limits.slow_s:
        sides = (Result(), Result())
    while sides[0].runs < limits.repeat and (
        not sides[0].runs or time.perf_counter() - began < limits.seconds
    ):
        take_turns(sides)
    return sides


def run_ours(generator: SamMasks, image: Image, score: ScoreMap, side: Result) -> None:
    """Run our generator, then OASC and MBP on its device."""
    device = generator.device
    result = generator.segment(image, score)
    side.add(result.timings)
    masks = result.mask_set()
    if device.type == "cpu":
        _refine(side, score, lambda s: mask_set.calibrate(masks, s, PAPER))
    else:
        on_device = torch.as_tensor(score, device=device)
        watch = Stopwatch("oasc", "mbp", device=device)
        with watch.stage("oasc"):
            calibrated = gpu_oasc.calibrate(on_device, result.masks, areas=result.areas)
        with watch.stage("mbp"):
            gpu_mbp.refine_boundary(calibrated)
        side.add(watch.seconds())
    side.masks = mask_set.host_masks(masks)


def run_official(
    generator: SamAutomaticMaskGenerator, image: Image, score: ScoreMap, side: Result
) -> None:
    """Run the official generator, then OASC and MBP on the host, which holds its masks."""
    predictor = generator.predictor
    watch = Stopwatch("encoder", "decoder", "whole", device=predictor.device)
    with (
        timed_calls(predictor, "set_image", watch, "encoder"),
        timed_calls(predictor.model.prompt_encoder, "forward", watch, "decoder"),
        timed_calls(predictor.model.mask_decoder, "forward", watch, "decoder"),
        watch.stage("whole"),
        np.errstate(invalid="ignore"),  # it divides 0 by 0 for empty masks
    ):
        records = generator.generate(image)
    seconds = watch.seconds()
    rest = seconds.pop("whole") - sum(seconds.values())
    side.add({**seconds, "post_processing": rest})
    masks = np.zeros((len(records), *image.shape[:2]), np.bool_)
    for mask, record in zip(masks, records, strict=True):
        mask[:] = record["segmentation"]
    _refine(side, score, lambda s: oasc.calibrate(s, masks))
    side.masks = masks


def _refine(side: Result, score: ScoreMap, calibrate: Callable[[ScoreMap], ScoreMap]) -> None:
    watch = Stopwatch("oasc", "mbp")
    with watch.stage("oasc"):
        calibrated = calibrate(score)
    with watch.stage("mbp"):
        mbp.refine_boundary(calibrated)
    side.add(watch.seconds())
