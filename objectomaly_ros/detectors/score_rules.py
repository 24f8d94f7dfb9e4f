"""Anomaly scores of mask-classification networks: logits of Q queries in, one map out.

Every function takes

* `class_logits`, (Q, K+1) float32, the last column "no object";
* `mask_logits`, (Q, h, w) float32, a quarter of the padded network input;
* `geometry`, the sizes on the way back to the image;

and returns the score, (H, W) float32 at the output size, on the logits' device. The masks are
enlarged a few queries at a time, which bounds the memory and leaves the sums the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import torch
from torch.nn import functional as F

from objectomaly_ros.arrays.opencv_torch import resize_map

_CHUNK = 10

# Maskomaly: queries of the Swin-L Cityscapes checkpoint, ranked by its authors on validation data
# (arXiv 2305.16972).
MASKOMALY_ANOMALY_QUERIES = (49, 31, 83, 32)
MASKOMALY_ROAD_QUERIES = (19, 24)


@dataclass(frozen=True)
class Geometry:
    """Sizes (height, width) between network and image.

    Attributes:
        padded: of the network's input, multiples of 32.
        valid: of the image in it, top left.
        output: of the score, usually the image's own.
    """

    padded: tuple[int, int]
    valid: tuple[int, int]
    output: tuple[int, int]


def mask2anomaly(
    class_logits: torch.Tensor, mask_logits: torch.Tensor, geometry: Geometry
) -> torch.Tensor:
    """One minus the strongest class (Objectomaly eq. 1, Mask2Anomaly sec. 3); may be negative."""
    return 1.0 - semantic_maps(class_logits, mask_logits, geometry).amax(0)


def rba(class_logits: torch.Tensor, mask_logits: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Rejected by all: minus the sum of tanh over the classes (arXiv 2211.14293), in (-K, 0]."""
    return -semantic_maps(class_logits, mask_logits, geometry).tanh().sum(0)


def uno(class_logits: torch.Tensor, mask_logits: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Uncertainty with negative objectness (arXiv 2402.15374).

    The last class before "no object" is the outlier class. A mask lowers the score by the
    probability of its best known class minus that of the outlier class.
    """
    probability = class_logits.softmax(-1)
    outlier = class_logits.shape[1] - 2
    weight = probability[:, :outlier].amax(1) - probability[:, outlier]
    return -_weighted_masks(weight, mask_logits, geometry)


def eam(class_logits: torch.Tensor, mask_logits: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Ensemble over masks (arXiv 2301.03407): one minus the sum of masks times best probability."""
    return 1.0 - _weighted_masks(class_logits.softmax(-1)[:, :-1].amax(1), mask_logits, geometry)


def maskomaly(
    class_logits: torch.Tensor, mask_logits: torch.Tensor, geometry: Geometry
) -> torch.Tensor:
    """Maskomaly's combination of rejection and anomaly queries (arXiv 2305.16972), in [0, 1].

    As in its evaluation, the padding is not cropped before the final resize by area.
    """
    void = class_logits.shape[1] - 1
    confidence, label = class_logits.softmax(-1).max(-1)
    # Lists: single elements would wait for the device each.
    kept = (label != void).tolist()
    sure = ((label != void) & (confidence > 0.7)).tolist()

    shape = geometry.padded
    anomaly = mask_logits.new_zeros(shape)
    rejected = mask_logits.new_ones(shape)
    overlaps = torch.zeros(shape, dtype=torch.int16, device=mask_logits.device)
    for queries, logits in _enlarged(mask_logits, shape):
        for query, mask in zip(queries, logits.sigmoid(), strict=True):
            present = mask * confidence[query]
            if query in MASKOMALY_ANOMALY_QUERIES:
                torch.maximum(anomaly, present, out=anomaly)
            if sure[query]:
                torch.minimum(rejected, 1.0 - present, out=rejected)
            if kept[query]:
                overlaps += mask > 0.1
    rejected[overlaps >= 2] = 0.0
    for query in MASKOMALY_ROAD_QUERIES:
        road = _resize(mask_logits[query : query + 1], shape)[0].sigmoid()
        torch.minimum(rejected, 1.0 - road * confidence[query], out=rejected)
    return resize_map(0.6 * rejected + 0.4 * anomaly, geometry.output, cv2.INTER_AREA)


def semantic_maps(
    class_logits: torch.Tensor,
    mask_logits: torch.Tensor,
    geometry: Geometry,
    classes: int | None = None,
) -> torch.Tensor:
    """Return the sum over queries of class probability times mask, (classes, H, W) float32.

    Args:
        class_logits: see the module, as the next two.
        mask_logits: see there.
        geometry: see there.
        classes: number of first classes; default all but "no object".
    """
    probability = class_logits.softmax(-1)[:, : classes or -1]
    height, width = geometry.padded
    count = probability.shape[1]
    maps = mask_logits.new_zeros((count, height * width))
    for queries, logits in _enlarged(mask_logits, geometry.padded):
        maps.addmm_(probability[queries.start : queries.stop].T, logits.sigmoid_().flatten(1))
    return _resize(_crop(maps.view(count, height, width), geometry.valid), geometry.output)


def _weighted_masks(
    weight: torch.Tensor, mask_logits: torch.Tensor, geometry: Geometry
) -> torch.Tensor:
    """Return the sum of masks times `weight` (Q,); the logits are resized, not the masks."""
    total = mask_logits.new_zeros(geometry.output)
    for queries, logits in _enlarged(mask_logits, geometry.padded):
        masks = _resize(_crop(logits, geometry.valid), geometry.output).sigmoid()
        total += torch.tensordot(weight[queries.start : queries.stop], masks, dims=1)
    return total


def _enlarged(
    mask_logits: torch.Tensor, size: tuple[int, int]
) -> Iterator[tuple[range, torch.Tensor]]:
    for start in range(0, len(mask_logits), _CHUNK):
        queries = range(start, min(start + _CHUNK, len(mask_logits)))
        # Always a copy: the caller works in place.
        logits = mask_logits[start : queries.stop]
        yield queries, logits.clone() if tuple(logits.shape[1:]) == size else _resize(logits, size)


def _crop(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return maps[:, : size[0], : size[1]]


def _resize(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if tuple(maps.shape[1:]) == size:
        return maps
    return F.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]
