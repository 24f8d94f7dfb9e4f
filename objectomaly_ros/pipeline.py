"""The pipeline: a detector's coarse score (CAS), object masks (OASC) and boundaries (MBP).

Source: Song, Kim, Im, Noh, "Objectomaly", arXiv 2507.07460. Read on in `oasc` and `mbp`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from objectomaly_ros.arrays.checks import check_image, check_score
from objectomaly_ros.detectors import detect
from objectomaly_ros.mbp import refine_boundary
from objectomaly_ros.models.timing import Stopwatch
from objectomaly_ros.oasc import OascRule, Overlap, rule_for
from objectomaly_ros.types import (
    Detection,
    Detector,
    FindsMaskSetsOnDevice,
    Image,
    MaskGenerator,
    Masks,
    MaskSet,
    ScoreMap,
)
from objectomaly_ros.video.mask_set import calibrate, find_masks, host_masks, runs_on_gpu


@dataclass(frozen=True, eq=False)
class Refinement:
    """A refined score with its masks.

    Attributes:
        score: refined anomaly score, (H, W) float32.
        mask_set: the masks, in the form that the generator gave them.
        timings: seconds of each stage: `coarse`, `masks`, `oasc`, `mbp`.
    """

    score: ScoreMap
    mask_set: MaskSet
    timings: dict[str, float] = field(default_factory=dict)

    @cached_property
    def masks(self) -> Masks:
        """The masks, (N, h, w) bool on the host; made on first use."""
        return host_masks(self.mask_set)


class Objectomaly:
    """Post-hoc refinement of any detector's anomaly score; needs no training and no ROS.

    Attributes:
        detector: the coarse stage, any object with `score(image)`.
        mask_generator: the source of object masks, any object with `generate(image, score)`.
        rule: how OASC uses the means of the masks.
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
            overlap: see `OascRule`. None for the mask generator's recommendation, which is the
                paper's rule for all but `regions`; see `rule_for`.
            residual: the same.

        Raises:
            ValueError: a value is not allowed.
        """
        self.detector = detector
        self.mask_generator = mask_generator
        self.rule: OascRule = rule_for(mask_generator, overlap, residual)

    def detect(self, image: Image) -> Detection:
        """Return the coarse score and, if the detector knows it, the road.

        Args:
            image: (H, W, 3) RGB uint8.

        Raises:
            TypeError, ValueError: `image` has another form.
        """
        return detect(self.detector, check_image(image))

    def coarse(self, image: Image) -> ScoreMap:
        """Return the coarse anomaly score (CAS) of `image`, (H, W) float32."""
        return self.detect(image).score

    def refine(self, image: Image, score: ScoreMap | None = None) -> Refinement:
        """Refine one image: coarse score, object masks, OASC, MBP.

        Args:
            image: (H, W, 3) RGB uint8.
            score: (H, W) coarse score; None runs the detector.

        Raises:
            TypeError, ValueError: the image or the score has another form.
        """
        image = check_image(image)
        score = None if score is None else check_score(score)
        if runs_on_gpu(self.mask_generator, self.rule):
            return _refine_on_gpu(image, score, self.detector, self.mask_generator, self.rule)
        watch = Stopwatch("coarse", "masks", "oasc", "mbp")
        with watch.stage("coarse"):
            coarse = self.coarse(image) if score is None else score
        with watch.stage("masks"):
            masks = find_masks(self.mask_generator, image, coarse)
        with watch.stage("oasc"):
            calibrated = calibrate(masks, coarse, self.rule)
        with watch.stage("mbp"):
            refined = refine_boundary(calibrated)
        return Refinement(refined, masks, watch.seconds())


def _refine_on_gpu(
    image: Image,
    score: ScoreMap | None,
    detector: Detector,
    generator: FindsMaskSetsOnDevice,
    rule: OascRule,
) -> Refinement:
    """Refine on the device of the mask generator, within 1e-6 of the host's result."""
    from objectomaly_ros.gpu import pipeline  # imports torch

    return Refinement(*pipeline.refine(image, score, detector, generator, rule))
