"""SAM's automatic masks: the official generator's result, without its detours."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from segment_anything.utils import amg
from segment_anything.utils.transforms import ResizeLongestSide
from torch.nn import functional as F
from torchvision.ops.boxes import batched_nms, box_area

from objectomaly_ros.detectors.devices import Precision, autocast
from objectomaly_ros.masks.sam.decoder import ImageTokens, PointDecoder
from objectomaly_ros.masks.sam.prompts import Crop, Points, PointSource, crops, grids
from objectomaly_ros.masks.sam.result import SamResult, pack_bits
from objectomaly_ros.masks.sam.timing import StageClock
from objectomaly_ros.masks.sam.upsampling import Upsampling, measure
from objectomaly_ros.types import Image, Masks, ScoreMap

ColourOrder: TypeAlias = Literal["rgb", "bgr"]

STAGES = ("encoder", "decoder", "post_processing")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Found:
    """Masks of one crop, at low resolution; boxes and points in pixels of the image."""

    logits: torch.Tensor
    predicted_iou: torch.Tensor
    stability: torch.Tensor
    boxes: torch.Tensor
    areas: torch.Tensor
    points: torch.Tensor

    def select(self, which: torch.Tensor) -> _Found:
        return _Found(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


class SamMasks:
    """Everything in an image that SAM finds from a grid of points.

    The masks are those of `segment_anything.SamAutomaticMaskGenerator` with the same network and
    parameters, in the same order.
    """

    def __init__(
        self,
        sam: Any,
        *,
        points_per_side: int | None = 32,
        points_per_batch: int = 64,
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        stability_score_offset: float = 1.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        crop_nms_thresh: float = 0.7,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        point_grids: Sequence[Points] | None = None,
        min_mask_region_area: int = 0,
        colour_order: ColourOrder = "rgb",
        precision: Precision = "float32",
        point_source: PointSource | None = None,
    ) -> None:
        self._sam = sam.eval().requires_grad_(False)
        self._device = torch.device(sam.device)
        self._decoder = PointDecoder(sam.prompt_encoder, sam.mask_decoder)
        self._resize = ResizeLongestSide(sam.image_encoder.img_size)
        self._grids = grids(
            points_per_side, crop_n_layers, crop_n_points_downscale_factor, point_grids
        )
        self._batch = points_per_batch
        self._min_predicted_iou = pred_iou_thresh
        self._min_stability = stability_score_thresh
        self._stability_offset = stability_score_offset
        self._max_box_iou = box_nms_thresh
        self._crop_layers = crop_n_layers
        self._max_crop_iou = crop_nms_thresh
        self._crop_overlap = crop_overlap_ratio
        self._min_region = min_mask_region_area
        self._colour_order = colour_order
        self._precision: Precision = precision
        self._point_source = point_source

    def generate(self, image: Image, score: ScoreMap | None = None) -> Masks:
        """Return the masks of `image` on the host, (N, H, W) bool."""
        return self.masks(image, score).masks()

    def masks(self, image: Image, score: ScoreMap | None = None) -> SamResult:
        """Return the masks of `image` on the device, with what SAM says of each."""
        clock = StageClock(self._device, STAGES)
        size = (image.shape[0], image.shape[1])
        found, bits, boxes = [], [], []
        with torch.inference_mode():
            for crop in crops(size, self._crop_layers, self._crop_overlap):
                upsampling, part = self._segment(image, crop, score, clock)
                with clock.stage("post_processing"):
                    bits.append(_bits(part.logits, upsampling, crop, size, self._threshold))
                    box = torch.tensor(crop.box, device=self._device)
                    boxes.append(box.expand(len(part.logits), 4))
                    found.append(part)
            with clock.stage("post_processing"):
                names = [name for name in _Found.__dataclass_fields__ if name != "logits"]
                merged = {
                    name: torch.cat([getattr(part, name) for part in found]) for name in names
                }
                result = SamResult(
                    torch.cat(bits),
                    size[1],
                    merged["boxes"],
                    merged["areas"],
                    merged["predicted_iou"],
                    merged["stability"],
                    merged["points"],
                    torch.cat(boxes),
                )
                if len(found) > 1:
                    keep = _nms(result.boxes, 1 / box_area(result.crop_boxes), self._max_crop_iou)
                    result = result.select(keep)
        result.timings.update(clock.seconds())
        return result

    @property
    def _threshold(self) -> float:
        return float(self._sam.mask_threshold)

    def _segment(
        self, image: Image, crop: Crop, score: ScoreMap | None, clock: StageClock
    ) -> tuple[Upsampling, _Found]:
        x0, y0, x1, y1 = crop.box
        with clock.stage("encoder"), autocast(self._device, self._precision):
            input_size, features = self._encode(image[y0:y1, x0:x1])
        with clock.stage("decoder"), autocast(self._device, self._precision):
            tokens = self._decoder.prepare(features)
        upsampling = Upsampling(self._resize.target_length, input_size, crop.size)
        points = self._points(image, crop, score)
        scaled = self._resize.apply_coords(points, crop.size)
        parts = []
        start = 0
        image_size = (image.shape[0], image.shape[1])
        while start < len(points):
            end = start + self._batch
            try:
                parts.append(
                    self._batch_masks(
                        tokens,
                        torch.as_tensor(scaled[start:end], device=self._device),
                        torch.as_tensor(points[start:end], device=self._device),
                        upsampling, crop, image_size, clock,
                    )
                )  # fmt: skip
            except torch.OutOfMemoryError:
                if self._batch == 1:
                    raise
                self._batch //= 2
                continue
            start = end
        with clock.stage("post_processing"):
            merged = _Found(
                *(
                    torch.cat([getattr(part, name) for part in parts])
                    for name in _Found.__dataclass_fields__
                )
            )
            keep = _nms(merged.boxes, merged.predicted_iou, self._max_box_iou)
            return upsampling, merged.select(keep)

    def _encode(self, image: Image) -> tuple[tuple[int, int], torch.Tensor]:
        """Return the size that the image is resized to, and its embedding (1, C, h, w)."""
        if self._colour_order == "bgr":
            image = image[..., ::-1]
        resized = self._resize.apply_image(image)
        pixels = torch.as_tensor(resized, device=self._device).permute(2, 0, 1).contiguous()[None]
        features: torch.Tensor = self._sam.image_encoder(self._sam.preprocess(pixels))
        return (resized.shape[0], resized.shape[1]), features

    def _points(self, image: Image, crop: Crop, score: ScoreMap | None) -> Points:
        height, width = crop.size
        if crop.layer == 0 and self._point_source is not None:
            unit = self._point_source((height, width), score)
        else:
            unit = self._grids[crop.layer]
        return np.asarray(unit, dtype=np.float64) * np.array([[width, height]], dtype=np.float64)

    def _batch_masks(
        self,
        tokens: ImageTokens,
        scaled: torch.Tensor,
        points: torch.Tensor,
        upsampling: Upsampling,
        crop: Crop,
        image_size: tuple[int, int],
        clock: StageClock,
    ) -> _Found:
        with clock.stage("decoder"), autocast(self._device, self._precision):
            decoded = self._decoder.decode(tokens, scaled, self._min_predicted_iou)
        with clock.stage("post_processing"):
            logits = decoded.logits.float()
            measures = measure(logits, upsampling, self._threshold, self._stability_offset)
            edges = [0, 0, image_size[1], image_size[0]]
            keep = ~amg.is_box_near_crop_edge(measures.boxes, list(crop.box), edges)
            if self._min_stability > 0:
                keep &= measures.stability >= self._min_stability
            origin = torch.tensor([crop.box[:2]], device=self._device)
            found = _Found(
                logits,
                decoded.predicted_iou.float(),
                measures.stability,
                measures.boxes + origin.repeat(1, 2),
                measures.areas,
                points[decoded.prompt] + origin,
            )
            return found.select(keep)


def _nms(boxes: torch.Tensor, scores: torch.Tensor, max_iou: float) -> torch.Tensor:
    """Return which boxes stay, by descending score."""
    one_class = torch.zeros(len(boxes), device=boxes.device)
    kept: torch.Tensor = batched_nms(boxes.float(), scores, one_class, iou_threshold=max_iou)
    return kept


def _bits(
    logits: torch.Tensor,
    upsampling: Upsampling,
    crop: Crop,
    image_size: tuple[int, int],
    threshold: float,
) -> torch.Tensor:
    """Return the masks as bits of the whole image."""
    x0, y0, x1, y1 = crop.box
    height, width = image_size
    around = (x0, width - x1, y0, height - y1)
    parts = [pack_bits(F.pad(full > threshold, around)) for full in upsampling.tiles(logits)]
    if not parts:
        return torch.zeros((0, height, -(-width // 8)), dtype=torch.uint8, device=logits.device)
    return torch.cat(parts)
