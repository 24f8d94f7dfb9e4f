"""Detectors: the coarse stage (CAS), an anomaly score for every pixel of an image."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np

from objectomaly_ros.arrays.checks import MAX_SCORE
from objectomaly_ros.models.devices import chosen_device
from objectomaly_ros.models.extras import naming_extra
from objectomaly_ros.models.registry import construct, find_constructor
from objectomaly_ros.types import Detection, Detector, Image, ScoreMap, SeesRoad

# Name -> "module:constructor". Modules are imported when asked for, so that one detector's
# dependencies are not everybody's; a constructor takes (checkpoint, device, **options).
DETECTORS: dict[str, str] = {
    "embedded": "objectomaly_ros.detectors.embedded:EmbeddedDetector",
    "mask2anomaly": "objectomaly_ros.detectors.mask_classification:mask2anomaly",
    "rba": "objectomaly_ros.detectors.mask_classification:rba",
    "uno": "objectomaly_ros.detectors.mask_classification:uno",
    "eam": "objectomaly_ros.detectors.mask_classification:eam",
    "maskomaly": "objectomaly_ros.detectors.mask_classification:maskomaly",
    "rpl": "objectomaly_ros.detectors.rpl:RplDetector",
    "semantic": "objectomaly_ros.detectors.semantic:SemanticDetector",
    "precomputed": "objectomaly_ros.detectors.precomputed:PrecomputedDetector",
    "detectron2": "objectomaly_ros.detectors.detectron2:Detectron2Detector",
}


def load_detector(
    name: str,
    checkpoint: str | PathLike[str] | None = None,
    device: str = "cpu",
    **options: Any,
) -> Detector:
    """Load a detector by name.

    Args:
        name: one of `DETECTORS`, or "module:Class" for a detector of the user's own; its class
            is called as `Class(checkpoint=..., device=..., **options)`, without checkpoint and
            device if it does not take them.
        checkpoint: path of the weights; None for the detector's default where it has one.
        device: a torch device, e.g. "cpu" or "cuda:0"; "auto" for the GPU if there is one.
        **options: passed on to the detector.

    Raises:
        ValueError: the name is unknown.
        ImportError: the module does not import, or has no such class; or a package of an extra is
            missing.
        TypeError: the detector has no `score` method, does not know an option or the checkpoint,
            wants another type, or needs an option that is not given.
    """
    device = chosen_device(device, checkpoint)
    with naming_extra(f"detector {name}"):
        constructor = find_constructor("detector", name, DETECTORS)
        detector: Detector = construct(name, constructor, checkpoint, device, options)
    if not callable(getattr(detector, "score", None)):
        raise TypeError(
            f"detector {name!r} gave a {type(detector).__name__} without a `score(image)` method"
        )
    return detector


def detect(detector: Detector, image: Image) -> Detection:
    """Run a detector once, and check what it returns: the one entrance of every detector's result.

    Returns:
        score: (H, W) float32, contiguous, of the image's size, all finite; other real dtypes are
            converted. road: (H, W) bool, or None unless the detector `SeesRoad`.

    Raises:
        TypeError: the score holds no real numbers, or the road is not bool.
        ValueError: they are not of the image's size, or a score is not below `MAX_SCORE`.
    """
    name = type(detector).__name__
    if not isinstance(detector, SeesRoad):
        return Detection(checked_score(detector.score(image), image, name))
    found = detector.detect(image)
    if not isinstance(found, Detection):
        raise TypeError(f"{name}.detect returned a {type(found).__name__}, not a Detection")
    score = checked_score(found.score, image, name)
    if found.road is None:
        return Detection(score, strangeness=found.strangeness)
    road = np.ascontiguousarray(found.road)
    if road.dtype != np.bool_:
        raise TypeError(f"{name} returned a road of {road.dtype}; it must be bool")
    if road.shape != score.shape:
        raise ValueError(
            f"{name} returned a road of shape {road.shape} for an image of {score.shape}"
        )
    return Detection(score, road, found.strangeness)


def checked_score(score: ScoreMap, image: Image, name: str) -> ScoreMap:
    """Return a score as (H, W) float32 of the image's size, all finite.

    Raises:
        TypeError: it holds no real numbers.
        ValueError: it has another size, or a value is not finite; `name` says who returned it.
    """
    score = np.asarray(score)
    if score.dtype.kind not in "fiub":
        raise TypeError(f"{name} returned scores of {score.dtype}; they must be real numbers")
    if score.shape != (size := image.shape[:2]):
        raise ValueError(f"{name} returned scores of shape {score.shape} for an image of {size}")
    with np.errstate(over="ignore", invalid="ignore"):
        score = np.ascontiguousarray(score, dtype=np.float32)
        # A sum is the cheapest look at all values; many large ones may exceed the limit, too.
        if not abs(score.sum()) < MAX_SCORE and not (usable := np.abs(score) < MAX_SCORE).all():
            raise ValueError(
                f"{name} returned {usable.size - np.count_nonzero(usable)} scores of "
                f"{usable.size} that are not finite numbers (as float32, below {MAX_SCORE:g})"
            )
    return score
