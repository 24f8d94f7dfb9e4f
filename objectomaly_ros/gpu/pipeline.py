"""The pipeline on the GPU, twin of `objectomaly_ros.pipeline`: copies the refined score alone.

The node does not use it. Its messages need the coarse score on the host, and its masks come from
another process and follow the image by optical flow on the host. The rest takes 5 ms on a CPU.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import torch

from objectomaly_ros.arrays.checks import check_score
from objectomaly_ros.detectors import detect
from objectomaly_ros.gpu.mbp import refine_boundary
from objectomaly_ros.gpu.oasc import calibrate
from objectomaly_ros.models.timing import Stopwatch
from objectomaly_ros.oasc import OascRule
from objectomaly_ros.types import (
    Detector,
    FindsMaskSetsOnDevice,
    Image,
    MaskSet,
    ScoreMap,
    ScoresOnDevice,
)


def refine(
    image: Image,
    score: ScoreMap | None,
    detector: Detector,
    generator: FindsMaskSetsOnDevice,
    rule: OascRule,
) -> tuple[ScoreMap, MaskSet, dict[str, float]]:
    """Refine one image on the device of the mask generator.

    The score of a `ScoresOnDevice` is not copied to the host, unless for guided prompting.

    Args:
        image: (H, W, 3) RGB uint8.
        score: (H, W) float32 coarse score; None runs the detector.
        detector: the coarse stage.
        generator: of the masks.
        rule: `largest` or `smallest`, with any residual.

    Returns:
        As in `pipeline.Refinement`: the refined score on the host, (H, W) float32; the masks on
        their device; the seconds of each stage.
    """
    device = generator.device
    watch = Stopwatch("coarse", "masks", "oasc", "mbp", device=device)
    with torch.inference_mode():
        with watch.stage("coarse"):
            coarse = _coarse(image, score, detector, device)
        with watch.stage("masks"):
            masks = generator.find(image, coarse)
        with watch.stage("oasc"):
            calibrated = _calibrated(coarse, masks, rule)
        with watch.stage("mbp"):
            refined: Any = refine_boundary(calibrated)
        return refined.cpu().numpy(), masks, watch.seconds()


def calibrate_host_score(score: ScoreMap, masks: MaskSet, rule: OascRule) -> ScoreMap:
    """Return OASC of a host's score, (H, W) float32, with masks on a device."""
    stack = cast(torch.Tensor, masks.data)
    with torch.inference_mode():
        on_device = torch.as_tensor(check_score(score), device=stack.device)
        calibrated: ScoreMap = _calibrated(on_device, masks, rule).cpu().numpy()
    return calibrated


def _calibrated(score: torch.Tensor, masks: MaskSet, rule: OascRule) -> torch.Tensor:
    stack = cast(torch.Tensor, masks.data)
    overlap = cast(Literal["largest", "smallest"], rule.overlap)
    areas = None if masks.areas is None else torch.as_tensor(masks.areas, device=score.device)
    return calibrate(score, stack, overlap=overlap, residual=rule.residual, areas=areas)


def _coarse(
    image: Image, score: ScoreMap | None, detector: Detector, device: torch.device
) -> torch.Tensor:
    if score is not None:
        return torch.as_tensor(score, device=device)
    if isinstance(detector, ScoresOnDevice):
        return detector.score_tensor(image).to(device)
    return torch.as_tensor(detect(detector, image).score, device=device)
