"""The scores of one frame after every stage: coarse (CAS), OASC, OASC + MBP; cached on disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from objectomaly_ros.detectors import detect
from objectomaly_ros.evaluation.cache import ScoreCache
from objectomaly_ros.evaluation.datasets import Conventions, Frame
from objectomaly_ros.evaluation.frame_files import (
    FrameError,
    check_same_size,
    read_image,
    read_instances,
    read_labels,
)
from objectomaly_ros.evaluation.model_spec import ModelSpec
from objectomaly_ros.mbp import refine_boundary
from objectomaly_ros.oasc import Overlap, rule_for
from objectomaly_ros.types import Image, MaskGenerator, ScoreMap, SelectsByName
from objectomaly_ros.video.mask_set import calibrate, find_masks

Stage: TypeAlias = Literal["coarse", "oasc", "mbp"]
STAGES: tuple[Stage, ...] = ("coarse", "oasc", "mbp")
STAGE_TITLES: dict[Stage, str] = {"coarse": "coarse (CAS)", "oasc": "OASC", "mbp": "OASC + MBP"}


@dataclass(frozen=True)
class Options:
    """How to evaluate.

    Attributes:
        cache: folder for the scores.
        device: torch device.
        workers: processes; 1 evaluates in this one.
        limit: at most this many frames of a dataset, evenly spread, or the first of a clip.
        progress: show progress bars on stderr.
        overlap, residual: how OASC uses the masks, see `rule_for`.
        clip: the frames of a folder are consecutive in the natural order of their names; measure
            temporal consistency too.
    """

    cache: Path
    device: str = "cpu"
    workers: int = 1
    limit: int | None = None
    progress: bool = True
    overlap: Overlap | None = None
    residual: float | None = None
    clip: bool = False


@dataclass(frozen=True)
class ScoredFrame:
    """A frame whose scores are in the cache.

    Attributes:
        frame: its files.
        coarse: cache key of the coarse score.
        oasc: cache key of the calibrated score; None without masks.
        computed: how many of the two were computed, not found.
    """

    frame: Frame
    coarse: str
    oasc: str | None
    computed: int


class FrameScorer:
    """Scores frames with one detector and one mask generator, and caches the scores.

    Args:
        detector: the coarse stage.
        masks: the mask generator; None for the coarse stage alone.
        options: device, cache and rule.

    Raises:
        What `ModelSpec.detector` raises.
    """

    def __init__(self, detector: ModelSpec, masks: ModelSpec | None, options: Options) -> None:
        self._detector = detector.detector(options.device)
        self._detector_id = detector.identity(self._detector)
        self._masks: MaskGenerator | None = None
        if masks is not None:
            self._masks = masks.mask_generator(options.device)
            self._masks_id = masks.identity(self._masks)
            self._rule = rule_for(self._masks, options.overlap, options.residual)
        self._cache = ScoreCache(options.cache)

    def score(self, frame: Frame, conventions: Conventions) -> ScoredFrame:
        """Make sure that the scores of `frame` are in the cache.

        Raises:
            FrameError: the image, its labels or a score is unusable, or a model failed.
        """
        image = read_image(frame.image)
        if frame.labels is None:
            raise FrameError(f"{frame.image}: there are no labels for this image")
        labels = read_labels(frame.labels, conventions.label_values)
        check_same_size(image, labels, frame.labels)
        if frame.instances is not None:
            read_instances(frame.instances, labels)
        # The same picture under two names may have two precomputed scores.
        named = frame.image.stem if isinstance(self._detector, SelectsByName) else ""
        content = hashlib.sha256(image.tobytes() + str(image.shape).encode()).digest()
        coarse_key = self._cache.key("coarse", content, self._detector_id, named)
        coarse = self._cache.load(coarse_key)
        computed = 0
        if coarse is None:
            coarse = self._coarse(frame, image)
            self._cache.store(coarse_key, coarse)
            computed += 1
        oasc_key = None
        if self._masks is not None:
            oasc_key = self._cache.key("oasc", coarse_key, self._masks_id, repr(self._rule))
            if self._cache.load(oasc_key) is None:
                calibrated = self._calibrated(self._masks, frame, image, coarse)
                self._cache.store(oasc_key, calibrated)
                computed += 1
        return ScoredFrame(frame, coarse_key, oasc_key, computed)

    def _coarse(self, frame: Frame, image: Image) -> ScoreMap:
        try:
            if isinstance(self._detector, SelectsByName):
                self._detector.select(frame.image.stem)
            return detect(self._detector, image).score
        except Exception as error:
            raise _failed(frame, "the detector", error) from error

    def _calibrated(
        self, masks: MaskGenerator, frame: Frame, image: Image, coarse: ScoreMap
    ) -> ScoreMap:
        try:
            return calibrate(find_masks(masks, image, coarse), coarse, self._rule)
        except Exception as error:
            raise _failed(frame, "the mask generator", error) from error


def load_stage(cache: ScoreCache, scored: ScoredFrame, stage: Stage) -> ScoreMap:
    """Return the score of a frame after `stage`, (H, W) float32.

    MBP takes a few milliseconds and is computed here; the other stages come from the cache.

    Raises:
        FrameError: the score is gone from the cache.
    """
    key = scored.coarse if stage == "coarse" else scored.oasc
    score = cache.load(key) if key else None
    if score is None:
        raise FrameError(f"{scored.frame.image}: its {stage} score is gone from {cache.folder}")
    return refine_boundary(score) if stage == "mbp" else score


def _failed(frame: Frame, what: str, error: Exception) -> FrameError:
    return FrameError(f"{frame.image}: {what} failed: {type(error).__name__}: {error}")
