"""Segments one crop of an image: encoder, decoder batch by batch, filters."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import torch
from segment_anything.utils import amg

from objectomaly_ros.masks.sam.boxed import BoxedMasks
from objectomaly_ros.masks.sam.network import PointNetwork
from objectomaly_ros.masks.sam.placement import Cuts, Placement
from objectomaly_ros.masks.sam.prompts import Crop, Points
from objectomaly_ros.masks.sam.result import SamResult, suppress
from objectomaly_ros.masks.sam.tiled import TiledMasks
from objectomaly_ros.models.devices import Precision, autocast
from objectomaly_ros.models.timing import Stopwatch
from objectomaly_ros.types import Image

ColourOrder: TypeAlias = Literal["rgb", "bgr"]

ENCODER, DECODER, POST_PROCESSING = STAGES = ("encoder", "decoder", "post_processing")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Filters:
    """Which masks of a crop are kept, see `SamMasks`."""

    pred_iou_thresh: float
    stability_score_thresh: float
    stability_score_offset: float
    box_nms_thresh: float


class CropSegmenter:
    """Runs a promptable network on crops of an image.

    Attributes:
        points_per_batch: points decoded together; halved when GPU memory runs out.
    """

    def __init__(
        self,
        network: PointNetwork,
        filters: Filters,
        points_per_batch: int,
        colour_order: ColourOrder,
        precision: Precision,
    ) -> None:
        """Take a network on its device; see `SamMasks` for the rest."""
        self.points_per_batch = points_per_batch
        self.device = network.device
        self._network = network
        self._filters = filters
        self._cuts = Cuts(network.mask_threshold, filters.stability_score_offset)
        self._bgr = colour_order == "bgr"
        self._precision: Precision = precision
        self._has_halved = False

    def segment(self, image: Image, crop: Crop, points: Points, clock: Stopwatch) -> SamResult:
        """Return the masks of a crop that pass the filters, by descending predicted IoU.

        Args:
            image: (H, W, 3) RGB uint8, whole.
            crop: the part to segment.
            points: (n, 2) x, y in pixels of the crop.
            clock: of the stages `STAGES`.
        """
        image_size = (image.shape[0], image.shape[1])
        x0, y0, x1, y1 = crop.box
        with clock.stage(ENCODER), autocast(self.device, self._precision):
            pixels = image[y0:y1, x0:x1]
            input_size, features = self._network.encode(pixels[..., ::-1] if self._bgr else pixels)
        with clock.stage(DECODER), autocast(self.device, self._precision):
            prepared = self._network.prepare(features)
        with clock.stage(POST_PROCESSING):
            sides = self._network.filled_side, self._network.low_side
            placement = Placement(*sides, input_size, crop.box, image_size)
            kind = BoxedMasks if self.device.type == "cpu" else TiledMasks
            at_full_size = kind(placement)
            parts = [_no_masks(placement, self.device)]
        start = 0
        while start < len(points):
            batch = points[start : start + self.points_per_batch]
            try:
                parts.append(self._decode(prepared, batch, placement, at_full_size, clock))
                start += len(batch)
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                self._halve(len(batch))
        with clock.stage(POST_PROCESSING):
            found = SamResult.joined(parts)
            kept = suppress(found.boxes, found.predicted_iou, self._filters.box_nms_thresh)
            found = found.select(kept)
            return replace(found, masks=at_full_size.masks(found.masks, self._cuts.threshold))

    def _decode(
        self,
        prepared: Any,
        points: Points,
        placement: Placement,
        at_full_size: BoxedMasks | TiledMasks,
        clock: Stopwatch,
    ) -> SamResult:
        """Decode a batch of points and filter its masks one by one."""
        filters = self._filters
        with clock.stage(DECODER), autocast(self.device, self._precision):
            scaled = self._network.scaled(points, placement.crop_size)
            decoded = self._network.decode(
                prepared, torch.as_tensor(scaled, device=self.device), filters.pred_iou_thresh
            )
        with clock.stage(POST_PROCESSING):
            logits = placement.trim(decoded.logits.float())
            measures = at_full_size.measure(logits, self._cuts)
            height, width = placement.image_size
            keep = ~amg.is_box_near_crop_edge(
                measures.boxes, list(placement.crop_box), [0, 0, width, height]
            )
            if filters.stability_score_thresh > 0:
                keep &= measures.stability >= filters.stability_score_thresh
            crop_box = torch.tensor([placement.crop_box], device=self.device)
            origin = crop_box[:, :2]
            return SamResult(
                logits,
                measures.boxes + origin.repeat(1, 2),
                measures.areas,
                decoded.predicted_iou.float(),
                measures.stability,
                torch.as_tensor(points, device=self.device)[decoded.prompt] + origin,
                crop_box.expand(len(logits), 4),
            ).select(keep)

    def _halve(self, tried: int) -> None:
        """Go on with smaller batches, and say so the first time."""
        self.points_per_batch = tried // 2
        torch.cuda.empty_cache()
        if not self._has_halved:
            _log.warning(
                "out of GPU memory with %d points at a time: going on with smaller batches, "
                "which give the same masks; set points_per_batch lower to avoid the attempt",
                tried,
            )
            self._has_halved = True


def _no_masks(placement: Placement, device: torch.device) -> SamResult:
    logits = torch.zeros((0, *placement.low_size), device=device)
    number = logits[:, 0, 0]
    box = number.long().reshape(0, 4)
    return SamResult(logits, box, number.long(), number, number, number.double().reshape(0, 2), box)
