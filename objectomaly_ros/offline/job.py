"""What a run does with every recording, and the models that it does it with."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from objectomaly_ros.evaluation.model_spec import ModelSpec
from objectomaly_ros.files.reading import read_bytes, regular_file
from objectomaly_ros.oasc import PAPER, Overlap, rule_for
from objectomaly_ros.obstacles.false_alarms import MIN_AREA
from objectomaly_ros.obstacles.stage import ObstacleSettings
from objectomaly_ros.offline.block import BlockRefiner
from objectomaly_ros.types import HasThreshold

NO_MASKS = "none"
_FORM = 2  # of the results; another one begins anew


@dataclass(frozen=True)
class Job:
    """The options of a run, all of which its results depend on.

    Attributes:
        detector, masks: see `ModelSpec.parse`; masks "none" refines nothing.
        device: of both.
        overlap, residual: see `rule_for`.
        threshold: of obstacles; None for the detector's own.
        min_area, roi: see `ObstacleSettings`.
        masks_every: masks are made on every n-th image.
        topics: of bags; all image topics if empty.
        start_s, end_s: the part of every recording, in seconds from its beginning.
        every: only every n-th image counts.
        rate_hz: of folders and videos; None for their own.
        raw: write uncompressed images.
    """

    detector: str = "embedded"
    masks: str = "regions"
    device: str = "cpu"
    overlap: Overlap | None = None
    residual: float | None = None
    threshold: float | None = None
    min_area: int = MIN_AREA
    roi: str = "road"
    masks_every: int = 5
    topics: tuple[str, ...] = ()
    start_s: float = 0.0
    end_s: float = float("inf")
    every: int = 1
    rate_hz: float | None = None
    raw: bool = False


class Models:
    """The detector and the mask generator of a job, loaded.

    Attributes:
        job: of `__init__`.
        detector: scores the frames.
        refiner: refines the scores.
        settings: of obstacles.
        identity: a digest of the job and of all files that the models are made of.
    """

    def __init__(self, job: Job) -> None:
        """Load them.

        Raises:
            ValueError: an option is wrong, or there is no threshold.
            ImportError, OSError: as of `ModelSpec.detector`.
        """
        self.job = job
        spec, masks = ModelSpec.parse(job.detector), ModelSpec.parse(job.masks)
        self.detector = detector = spec.detector(job.device)
        threshold = job.threshold
        if threshold is None and isinstance(detector, HasThreshold):
            threshold = float(detector.threshold)
        if threshold is None:
            raise ValueError(
                f"detector {job.detector} has no threshold of its own: give one with --threshold "
                "(objectomaly calibrate finds it)"
            )
        if not math.isfinite(threshold):
            raise ValueError(f"the threshold is {threshold}: give a finite one with --threshold")
        generator = None if masks.name == NO_MASKS else masks.mask_generator(job.device)
        rule = PAPER if generator is None else rule_for(generator, job.overlap, job.residual)
        self.refiner = BlockRefiner(generator, rule)
        self.settings = ObstacleSettings(
            threshold, min_area=job.min_area, roi="none" if job.roi == "none" else "road"
        )
        digest = hashlib.sha256(json.dumps([_FORM, asdict(job)], sort_keys=True).encode())
        digest.update(spec.identity(detector).encode())
        digest.update(_contents(spec.options))
        if generator is not None:
            digest.update(masks.identity(generator).encode())
            digest.update(_contents(masks.options))
        self.identity = digest.hexdigest()


def _contents(options: Mapping[str, Any]) -> bytes:
    """Return a digest of the files that options name, such as a memory."""
    digest = hashlib.sha256()
    for value in options.values():
        if isinstance(value, str) and Path(value).is_file():
            digest.update(read_bytes(regular_file(value), 2**33))
    return digest.digest()
