"""The pipeline: a detector's coarse score (CAS), object masks (OASC) and boundaries (MBP)."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from objectomaly_ros.cells import Cells
from objectomaly_ros.detectors import detect
from objectomaly_ros.keyframe import calibrate_with, find_masks, make_cells
from objectomaly_ros.mask_stack import check_score
from objectomaly_ros.mask_tilings import masks_of
from objectomaly_ros.mbp import refine_boundary
from objectomaly_ros.oasc_rule import OascRule, Overlap, rule_for
from objectomaly_ros.types import Detection, Detector, Image, MaskGenerator, Masks, ScoreMap


@dataclass(frozen=True)
class Refinement:
    """A refined score and what it was made of.

    Attributes:
        score: refined anomaly score, (H, W) float32.
        masks: the masks used, (N, h, w) bool.
        timings: seconds spent in each stage, keys `coarse` (0 where the score was given), `masks`,
            `oasc`, `mbp`.
    """

    score: ScoreMap
    masks: Masks
    timings: dict[str, float] = field(default_factory=dict)


class Objectomaly:
    """Post-hoc refinement of any detector's anomaly score; needs no training and no ROS.

    Source: Song, Kim, Im, Noh, "Objectomaly", arXiv 2507.07460.

    Attributes:
        detector: the coarse stage, any object with `score(image)`.
        mask_generator: the source of object masks, any object with `generate(image, score)`.
        rule: how OASC joins the masks' means.
    """

    def __init__(
        self,
        detector: Detector,
        mask_generator: MaskGenerator,
        *,
        overlap: Overlap | None = None,
        residual: float | None = None,
    ) -> None:
        """Join a detector and a mask generator.

        Args:
            detector: the coarse stage.
            mask_generator: the source of masks.
            overlap: what a covered pixel takes, see `OascRule`. None for what the mask generator
                recommends, which is the paper's form with all but `regions`.
            residual: the share of its own score that it keeps; None likewise. See `rule_for`.

        Raises:
            ValueError: if a value is not allowed.
        """
        self.detector = detector
        self.mask_generator = mask_generator
        self.rule: OascRule = rule_for(mask_generator, overlap, residual)

    def detect(self, image: Image) -> Detection:
        """Return the coarse score and, where the detector knows it, the road.

        Args:
            image: (H, W, 3) RGB uint8.

        Raises:
            TypeError, ValueError: if `image` is something else.
        """
        return detect(self.detector, _check_image(image))

    def coarse(self, image: Image) -> ScoreMap:
        """Return the coarse anomaly score of `image`, (H, W) float32."""
        return self.detect(image).score

    def cells(self, image: Image, score: ScoreMap | None = None) -> Cells:
        """Find the masks of a keyframe and make them ready for `apply` on many frames.

        Args:
            image: (H, W, 3) RGB uint8.
            score: (H, W), the coarse score, which may guide where masks are looked for.
        """
        _check_image(image)
        height, width = image.shape[:2] if score is None else score.shape
        return make_cells(self.mask_generator, image, score, (height, width), self.rule)

    def apply(self, score: ScoreMap, cells: Cells) -> ScoreMap:
        """Refine `score` with masks that are ready: OASC, then MBP. Returns (H, W) float32."""
        return refine_boundary(cells.calibrate(score))

    def refine(self, image: Image, score: ScoreMap | None = None) -> Refinement:
        """Refine one image on its own.

        Args:
            image: (H, W, 3) RGB uint8.
            score: (H, W) coarse score from elsewhere; the detector is asked if None.

        Raises:
            TypeError, ValueError: if the image or the score has another form.
        """
        _check_image(image)
        ticks = [perf_counter()]
        score = self.coarse(image) if score is None else check_score(score)
        ticks.append(perf_counter())
        masks, tilings = find_masks(self.mask_generator, image, score)
        ticks.append(perf_counter())
        calibrated = calibrate_with(score, masks, tilings, self.rule)
        ticks.append(perf_counter())
        refined = refine_boundary(calibrated)
        ticks.append(perf_counter())
        spent = (float(seconds) for seconds in np.diff(ticks))
        timings = dict(zip(("coarse", "masks", "oasc", "mbp"), spent, strict=True))
        if tilings is not None:
            masks = masks_of(tilings)
        assert masks is not None
        return Refinement(refined, masks, timings)


def _check_image(image: Image) -> Image:
    """Return `image`, or raise TypeError or ValueError saying what is wrong with it."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = getattr(image, "dtype", type(image).__name__)
        raise TypeError(f"an image must be a uint8 array, got {kind}")
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"an image must have shape (H, W, 3), RGB, got {image.shape}")
    return image
