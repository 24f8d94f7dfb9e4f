"""OASC with the masks of one image, in any form of `MaskSet`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard, cast

import numpy as np

from objectomaly_ros import oasc
from objectomaly_ros.arrays.checks import check_label_maps, check_masks
from objectomaly_ros.arrays.label_maps import masks_of
from objectomaly_ros.oasc import OascRule
from objectomaly_ros.types import (
    FindsMaskSets,
    FindsMaskSetsOnDevice,
    Image,
    LabelMaps,
    MaskGenerator,
    Masks,
    MaskSet,
    ScoreMap,
)
from objectomaly_ros.video.cells import Cells

if TYPE_CHECKING:
    import torch

GPU_TYPES = ("cuda",)
"""Types of torch devices on which OASC and MBP run faster than on the host."""


def find_masks(generator: MaskGenerator, image: Image, score: ScoreMap | None) -> MaskSet:
    """Return the masks of `image` in the generator's fastest form.

    Raises:
        TypeError, ValueError: the generator returned something else.
    """
    if isinstance(generator, FindsMaskSets):
        found = generator.find(image, score)
        if not isinstance(found, MaskSet):
            raise TypeError(
                f"`find` of {type(generator).__name__} returned a {type(found).__name__}; "
                "it must return a MaskSet"
            )
        if _is_labels(found.data):
            check_label_maps(found.data)
        return found
    return MaskSet(check_masks(generator.generate(image, score)))


def runs_on_gpu(generator: object, rule: OascRule) -> TypeGuard[FindsMaskSetsOnDevice]:
    """Tell whether OASC and MBP run on the device of a mask generator."""
    return isinstance(generator, FindsMaskSetsOnDevice) and _is_faster_on(generator.device, rule)


def host_masks(masks: MaskSet) -> Masks:
    """Return the masks on the host, (N, h, w) bool."""
    if _is_labels(masks.data):
        return masks_of(masks.data)
    if isinstance(masks.data, np.ndarray):
        return cast(Masks, masks.data)
    on_host: Masks = masks.data.cpu().numpy()
    return on_host


def calibrate(masks: MaskSet, score: ScoreMap, rule: OascRule) -> ScoreMap:
    """Return OASC of `score`, (H, W) float32, with the masks of its own image."""
    if _is_labels(masks.data):
        return cells(masks, (score.shape[0], score.shape[1]), rule).calibrate(score)
    if not isinstance(masks.data, np.ndarray) and _is_faster_on(masks.data.device, rule):
        from objectomaly_ros.gpu.pipeline import calibrate_host_score

        return calibrate_host_score(score, masks, rule)
    return oasc.calibrate(
        score,
        host_masks(masks),
        overlap=rule.overlap,
        residual=rule.residual,
        areas=masks.areas,
        boxes=masks.boxes,
    )


def cells(masks: MaskSet, shape: tuple[int, int], rule: OascRule) -> Cells:
    """Return the cells of the masks for score maps of `shape`, (H, W)."""
    if _is_labels(masks.data):
        return Cells.from_label_maps(masks.data, shape, rule=rule)
    return Cells.from_masks(
        host_masks(masks), shape, rule=rule, areas=masks.areas, boxes=masks.boxes
    )


def _is_faster_on(device: torch.device, rule: OascRule) -> bool:
    return device.type in GPU_TYPES and rule.overlap != "inverse_variance"  # which needs cells


def _is_labels(data: object) -> TypeGuard[LabelMaps]:
    return isinstance(data, np.ndarray) and data.dtype != np.bool_
