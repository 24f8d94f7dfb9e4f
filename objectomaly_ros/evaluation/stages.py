"""The scores of one frame after every stage: coarse (CAS), OASC, OASC + MBP; cached on disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from objectomaly_ros.evaluation.cache import ScoreCache
from objectomaly_ros.evaluation.datasets import Conventions, Frame
from objectomaly_ros.evaluation.frame_files import (
    FrameError,
    check_same_size,
    read_image,
    read_labels,
)
from objectomaly_ros.evaluation.frames import Labels
from objectomaly_ros.evaluation.model_spec import ModelSpec
from objectomaly_ros.mbp import refine_boundary
from objectomaly_ros.oasc import Overlap
from objectomaly_ros.pipeline import Objectomaly
from objectomaly_ros.types import Detector, Image, MaskGenerator, Masks, ScoreMap
from objectomaly_ros.video.mask_set import calibrate, find_masks

Stage: TypeAlias = Literal["coarse", "oasc", "mbp"]
STAGES: tuple[Stage, ...] = ("coarse", "oasc", "mbp")
STAGE_TITLES: dict[Stage, str] = {"coarse": "coarse (CAS)", "oasc": "OASC", "mbp": "OASC + MBP"}


@dataclass(frozen=True)
class ScoredFrame:
    """A frame whose scores lie in the cache.

    Attributes:
        frame: its files.
        coarse: cache key of the coarse score.
        oasc: cache key of the calibrated score; None where there are no masks.
        computed: how many of the two were computed now rather than found.
    """

    frame: Frame
    coarse: str
    oasc: str | None
    computed: int


class _NoMasks:
    """Stands where only the coarse stage is wanted."""

    def generate(self, image: Image, score: ScoreMap | None = None) -> Masks:
        return np.zeros((0, *image.shape[:2]), np.bool_)


class FrameScorer:
    """Scores frames with one detector and one mask generator, and remembers the outcome.

    Args:
        detector: what scores.
        masks: what finds masks; None for the coarse stage alone.
        device: torch device.
        cache: folder of the cache.
        overlap, residual: how OASC joins the masks, see `rule_for`.

    Raises:
        What loading a model raises.
    """

    def __init__(
        self,
        detector: ModelSpec,
        masks: ModelSpec | None,
        device: str,
        cache: str | Path,
        *,
        overlap: Overlap | None = None,
        residual: float | None = None,
    ) -> None:
        self.detector: Detector = detector.detector(device)
        self.masks: MaskGenerator | None = masks.mask_generator(device) if masks else None
        self._detector_id = detector.identity(self.detector)
        self._masks_id = masks.identity(self.masks) if masks else ""
        self._pipeline = Objectomaly(
            self.detector, self.masks or _NoMasks(), overlap=overlap, residual=residual
        )
        self._cache = ScoreCache(cache)

    def score(self, frame: Frame, conventions: Conventions) -> ScoredFrame:
        """Make sure that the scores of `frame` are in the cache.

        Raises:
            FrameError: the image, its labels or a score is unusable, or a model failed on it.
        """
        image = read_image(frame.image)
        if frame.labels is None:
            raise FrameError(f"{frame.image}: there are no labels for this image")
        labels = read_labels(frame.labels, conventions.label_values)
        check_same_size(image, labels, frame.labels)
        # The same picture under two names may have two precomputed maps.
        named = frame.image.stem if hasattr(self.detector, "select") else ""
        content = hashlib.sha256(image.tobytes() + str(image.shape).encode()).digest()
        coarse_key = self._cache.key("coarse", content, self._detector_id, named)
        oasc_key = None
        if self.masks is not None:
            rule = repr(self._pipeline.rule)
            oasc_key = self._cache.key("oasc", coarse_key, self._masks_id, rule)

        coarse = self._cache.load(coarse_key)
        computed = 0
        if coarse is None:
            coarse = self._coarse(frame, image)
            self._cache.store(coarse_key, coarse)
            computed += 1
        _check_finite(frame, coarse, labels)
        if oasc_key is not None and self._cache.load(oasc_key) is None:
            self._cache.store(oasc_key, self._calibrated(frame, image, coarse))
            computed += 1
        return ScoredFrame(frame, coarse_key, oasc_key, computed)

    def _coarse(self, frame: Frame, image: Image) -> ScoreMap:
        try:
            select = getattr(self.detector, "select", None)
            if callable(select):
                select(frame.image.stem)
            score = np.asarray(self._pipeline.coarse(image))
        except Exception as error:
            raise FrameError(f"{frame.image}: the detector failed: {_words(error)}") from error
        if score.shape != image.shape[:2]:
            raise FrameError(
                f"{frame.image}: the detector's score is {score.shape}, "
                f"the image {image.shape[:2]} (rows, columns)"
            )
        return np.ascontiguousarray(score, dtype=np.float32)

    def _calibrated(self, frame: Frame, image: Image, coarse: ScoreMap) -> ScoreMap:
        assert self.masks is not None
        try:
            found = find_masks(self.masks, image, coarse)
            return calibrate(found, coarse, self._pipeline.rule)
        except Exception as error:
            raise FrameError(
                f"{frame.image}: the mask generator failed: {_words(error)}"
            ) from error


def load_stage(cache: ScoreCache, scored: ScoredFrame, stage: Stage) -> ScoreMap:
    """Return the score of a frame after `stage`, (H, W) float32.

    The boundary step takes a few milliseconds and is done anew; the rest comes from the cache.

    Raises:
        FrameError: the cache has lost it.
    """
    key = scored.coarse if stage == "coarse" else scored.oasc
    score = cache.load(key) if key else None
    if score is None:
        raise FrameError(f"{scored.frame.image}: its {stage} score is gone from {cache.folder}")
    return refine_boundary(score) if stage == "mbp" else score


def _check_finite(frame: Frame, score: ScoreMap, labels: Labels) -> None:
    bad = int(np.count_nonzero(~np.isfinite(score) & (labels != 255)))
    if bad:
        raise FrameError(f"{frame.image}: {bad} of its scores are NaN or infinite")


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
