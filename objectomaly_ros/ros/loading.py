"""Loads the detector and the mask generator that the parameters name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from objectomaly_ros.models.devices import check_device, chosen_device
from objectomaly_ros.ros.parameters import options
from objectomaly_ros.ros.score_input import TopicScores, comes_by_topic
from objectomaly_ros.runtime.keyframes import WARM_UP_SHAPE, MaskGeneratorSpec
from objectomaly_ros.runtime.mask_process import MaskProcess
from objectomaly_ros.types import Detector


def device_of(values: Mapping[str, Any]) -> str:
    """Return the torch device of the parameter `device`.

    Raises:
        ValueError: torch does not know it, or it is not there.
        ImportError: it is a GPU, and torch is not installed.
    """
    wanted = str(values["device"])
    if wanted != "auto":
        check_device(wanted)
    return chosen_device(wanted)


def load_detector(values: Mapping[str, Any], device: str) -> Detector:
    """Load the detector and warm it up."""
    from objectomaly_ros import detectors

    if comes_by_topic(values):
        return TopicScores()
    detector = detectors.load_detector(
        values["detector.name"],
        values["detector.checkpoint"] or None,
        chosen_device(str(values["device"]), values["detector.checkpoint"]),
        **options(values["detector.options"]),
    )
    if values["detector.name"] != "precomputed":  # it would use up its first map
        detectors.detect(detector, np.zeros(WARM_UP_SHAPE, np.uint8))
    return detector


def mask_process(values: Mapping[str, Any], device: str) -> MaskProcess | None:
    """Return the process that generates masks, not yet started; None if `masks.name` is none."""
    if values["masks.name"] == "none":
        return None
    return MaskProcess(
        MaskGeneratorSpec(
            values["masks.name"],
            values["masks.checkpoint"] or None,
            device,
            options(values["masks.options"]),
            overlap=None if values["masks.overlap"] == "auto" else values["masks.overlap"],
        )
    )
