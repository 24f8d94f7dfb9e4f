"""The pipeline: a detector's coarse score (CAS), object masks (OASC) and boundaries (MBP)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING, cast

import numpy as np

from objectomaly_ros.arrays.checks import check_score
from objectomaly_ros.detectors import detect
from objectomaly_ros.mbp import refine_boundary
from objectomaly_ros.oasc import OascRule, Overlap, rule_for
from objectomaly_ros.types import Detection, Detector, Image, MaskGenerator, Masks, ScoreMap
from objectomaly_ros.video.cells import Cells
from objectomaly_ros.video.mask_set import find_masks, stays_on_device

if TYPE_CHECKING:
    from objectomaly_ros.masks.sam.generator import SamMasks


class Refinement:
    """A refined score and what it was made of.

    Attributes:
        score: refined anomaly score, (H, W) float32.
        timings: seconds spent in each stage, keys `coarse` (0 where the score was given), `masks`,
            `oasc`, `mbp`.
    """

    def __init__(
        self,
        score: ScoreMap,
        masks: Masks | Callable[[], Masks],
        timings: dict[str, float] | None = None,
    ) -> None:
        """Join a score and its masks, or a function that gives them once somebody asks."""
        self.score = score
        self.timings = timings or {}
        self._masks = masks

    @cached_property
    def masks(self) -> Masks:
        """The masks used, (N, h, w) bool.

        They are unpacked when they are first asked for: until then they keep the form that the
        generator gave them, which for SAM is bits on its device.
        """
        return self._masks() if callable(self._masks) else self._masks


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
        return find_masks(self.mask_generator, image, score).cells((height, width), self.rule)

    def apply(self, score: ScoreMap, cells: Cells) -> ScoreMap:
        """Refine `score` with masks that are ready: OASC, then MBP. Returns (H, W) float32."""
        return refine_boundary(cells.calibrate(score))

    def refine(self, image: Image, score: ScoreMap | None = None) -> Refinement:
        """Refine one image on its own.

        With a mask generator on a GPU, all of it happens there and only the refined score is
        copied to the host, see `device_line`; the result is the same within 1e-6.

        Args:
            image: (H, W, 3) RGB uint8.
            score: (H, W) coarse score from elsewhere; the detector is asked if None.

        Raises:
            TypeError, ValueError: if the image or the score has another form.
        """
        _check_image(image)
        if score is not None:
            score = check_score(score)
        packs = callable(getattr(self.mask_generator, "packed_masks", None))
        if packs and stays_on_device(self.mask_generator, self.rule):
            return self._refine_on_device(image, score)
        ticks = [perf_counter()]
        score = self.coarse(image) if score is None else score
        ticks.append(perf_counter())
        found = find_masks(self.mask_generator, image, score)
        ticks.append(perf_counter())
        calibrated = found.calibrate(score, self.rule)
        ticks.append(perf_counter())
        refined = refine_boundary(calibrated)
        ticks.append(perf_counter())
        spent = (float(seconds) for seconds in np.diff(ticks))
        timings = dict(zip(("coarse", "masks", "oasc", "mbp"), spent, strict=True))
        return Refinement(refined, found.masks, timings)

    def _refine_on_device(self, image: Image, score: ScoreMap | None) -> Refinement:
        from objectomaly_ros.gpu import (
            pipeline as device_line,  # imports torch, which such a generator has done
        )

        generator = cast("SamMasks", self.mask_generator)
        refined, masks, timings = device_line.refine(
            image, score, self.detector, generator, self.rule
        )
        return Refinement(refined, masks.masks, timings)


def _check_image(image: Image) -> Image:
    """Return `image`, or raise TypeError or ValueError saying what is wrong with it."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = getattr(image, "dtype", type(image).__name__)
        raise TypeError(f"an image must be a uint8 array, got {kind}")
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"an image must have shape (H, W, 3), RGB, got {image.shape}")
    return image
