"""The straight line on a GPU: from image to refined score, with nothing on the host in between.

The host sees the score once, when it is done. Masks stay packed where SAM made them; `calibrate` is
for a coarse score that is on the host anyway, such as one from a file.

The node does not come this way: its messages need the coarse score on the host, its masks come from
a process of their own and follow the image by optical flow there, and what would be left for the
GPU takes 5 ms on the CPU.
"""

from __future__ import annotations

from typing import Literal, cast

import torch

from objectomaly_ros.arrays.checks import check_score
from objectomaly_ros.detectors import detect
from objectomaly_ros.gpu import mbp as mbp_torch
from objectomaly_ros.gpu import oasc as oasc_torch
from objectomaly_ros.masks.sam.generator import SamMasks
from objectomaly_ros.masks.sam.result import SamResult
from objectomaly_ros.models.timing import StageClock
from objectomaly_ros.oasc import OascRule
from objectomaly_ros.types import Detector, Image, ScoreMap

STAGES = ("coarse", "masks", "oasc", "mbp")


def refine(
    image: Image,
    score: ScoreMap | None,
    detector: Detector,
    generator: SamMasks,
    rule: OascRule,
) -> tuple[ScoreMap, SamResult, dict[str, float]]:
    """Refine one image on the device of the mask generator.

    A detector that has `score_tensor(image)` gives the coarse score without a copy to the host,
    from the same device or another one; any other detector's score is copied there. Only guided
    prompting looks at the coarse score on the host, which costs one copy more.

    Args:
        image: (H, W, 3) RGB uint8.
        score: (H, W) float32 coarse score; the detector is asked if None.
        detector: the coarse stage.
        generator: of the masks.
        rule: `largest` or `smallest`, with any residual.

    Returns:
        the refined score on the host, (H, W) float32; the masks, where they were made; and the
        seconds of each of `STAGES`, `coarse` 0 where the score was given.

    Raises:
        TypeError, ValueError: the detector's score has another form.
    """
    device = generator.device
    clock = StageClock(device, STAGES)
    with torch.inference_mode():
        coarse: ScoreMap | torch.Tensor
        if score is not None:
            coarse = score
        else:
            with clock.stage("coarse"):
                coarse = _coarse(detector, image, device)
        with clock.stage("masks"):
            found = generator.packed_masks(image, coarse)
        with clock.stage("oasc"):
            calibrated = _calibrated(torch.as_tensor(coarse, device=device), found, rule)
        with clock.stage("mbp"):
            refined = mbp_torch.refine_boundary(calibrated)
        result: ScoreMap = refined.cpu().numpy()
    return result, found, clock.seconds()


def calibrate(score: ScoreMap, masks: SamResult, rule: OascRule) -> ScoreMap:
    """Return OASC of a score on the host with masks on a device.

    Args:
        score: (H, W) floating point.
        masks: of any resolution.
        rule: `largest` or `smallest`, with any residual.

    Returns:
        (H, W) float32 on the host.
    """
    with torch.inference_mode():
        coarse = torch.as_tensor(check_score(score), device=masks.bits.device)
        calibrated: ScoreMap = _calibrated(coarse, masks, rule).cpu().numpy()
    return calibrated


def _coarse(detector: Detector, image: Image, device: torch.device) -> torch.Tensor:
    on_device = getattr(detector, "score_tensor", None)
    if callable(on_device):
        score: torch.Tensor = on_device(image)
        return score.to(device)
    return torch.as_tensor(check_score(detect(detector, image).score), device=device)


def _calibrated(score: torch.Tensor, masks: SamResult, rule: OascRule) -> torch.Tensor:
    return oasc_torch.calibrate(
        score,
        masks.bits,
        masks.width,
        overlap=cast(Literal["largest", "smallest"], rule.overlap),
        residual=rule.residual,
        areas=masks.areas,
    )
