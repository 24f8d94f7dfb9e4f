"""Detectors: the coarse stage (CAS), an anomaly score for every pixel of an image."""

from __future__ import annotations

from os import PathLike
from typing import Any

from objectomaly_ros.models.registry import check_options, find_constructor
from objectomaly_ros.types import Detection, Detector, Image

# Name -> "module:constructor". Modules are imported when asked for, so that one detector's
# dependencies are not everybody's; a constructor takes (checkpoint, device, **options).
DETECTORS: dict[str, str] = {
    "embedded": "objectomaly_ros.detectors.embedded:EmbeddedDetector",
    "mask2anomaly": "objectomaly_ros.detectors.mask_classification:mask2anomaly",
    "rba": "objectomaly_ros.detectors.mask_classification:rba",
    "uno": "objectomaly_ros.detectors.mask_classification:uno",
    "eam": "objectomaly_ros.detectors.mask_classification:eam",
    "maskomaly": "objectomaly_ros.detectors.mask_classification:maskomaly",
    "rpl": "objectomaly_ros.detectors.rpl:load",
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
            is called as `Class(checkpoint=..., device=..., **options)`.
        checkpoint: path of the weights; None for the detector's default where it has one.
        device: a torch device, e.g. "cpu" or "cuda:0".
        **options: passed on to the detector.

    Raises:
        ValueError: the name is unknown.
        ImportError: the module does not import, or has no such class.
        TypeError: the detector has no `score` method, does not know an option, or needs one that
            is not given.
    """
    constructor = find_constructor("detector", name, DETECTORS)
    check_options(name, options, constructor)
    detector: Detector = constructor(checkpoint=checkpoint, device=device, **options)
    if not callable(getattr(detector, "score", None)):
        raise TypeError(
            f"detector {name!r} gave a {type(detector).__name__} without a `score(image)` method"
        )
    return detector


def detect(detector: Detector, image: Image) -> Detection:
    """Run a detector once: its own `detect` where it has one, else `score` with no road."""
    own = getattr(detector, "detect", None)
    if callable(own):
        detection: Detection = own(image)
        return detection
    return Detection(score=detector.score(image), road=None)
