"""SAM's automatic masks: the official generator's result, without its detours."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from segment_anything.utils import amg
from torchvision.ops.boxes import box_area

from objectomaly_ros.arrays.checks import check_image
from objectomaly_ros.masks.sam.full_size import BoxedMasks, Cuts, Placement, TiledMasks
from objectomaly_ros.masks.sam.network import PointNetwork, SamNetwork
from objectomaly_ros.masks.sam.prompts import Points, PointSource, grids
from objectomaly_ros.masks.sam.result import SamResult, suppress
from objectomaly_ros.models.devices import Precision, autocast, check_precision
from objectomaly_ros.models.timing import Stopwatch
from objectomaly_ros.types import Image, Masks, MaskSet, ScoreMap

ColourOrder: TypeAlias = Literal["rgb", "bgr"]

ENCODER, DECODER, POST_PROCESSING = STAGES = ("encoder", "decoder", "post_processing")

_log = logging.getLogger(__name__)


class SamMasks:
    """Everything in an image that SAM finds from a grid of points.

    The masks are those of `segment_anything.SamAutomaticMaskGenerator` with the same network and
    parameters, in the same order. Differences are of rounding, like those between two runs of the
    official generator with different `points_per_batch`. Only work is saved: the decoder does the
    image's part once; masks that the network predicts to be poor are never brought to full size;
    the others are measured there in tiles and forgotten; the few that survive suppression are made
    again.

    Memory, without the network's weights: in the decoder about 40 MB for each point of a batch
    (64x64 embedding, float32); at low resolution at most three masks of 256 KB for each point of a
    crop (800 MB for 32x32 points without filters, usually a tenth); at full size some 300 MB for
    one tile on a GPU, five float32 maps on the CPU; and H W bytes for each mask returned, twice
    that while crops are joined.

    The host waits for a GPU if the number of masks decides a shape: twice a batch in the decoder,
    once a batch after the filters, in suppression, and at the end.

    Attributes:
        device: of the network.
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
        """Take a network, and the official generator's parameters by their names.

        Its `output_mode` has no counterpart: masks are tensors or arrays of bool.

        Args:
            sam: a `segment_anything.modeling.Sam` on its device, whose image encoder may be any
                module with `img_size` that gives the embedding; or another `PointNetwork`.
            points_per_side: of the grid of prompts; None with `point_grids`.
            points_per_batch: points decoded together; more take more memory and change nothing.
            pred_iou_thresh: masks at or below this predicted IoU are left out; 0 keeps all.
            stability_score_thresh: masks below this stability are left out; 0 keeps all.
            stability_score_offset: shift of the cut, in logits, for the stability score.
            box_nms_thresh: a mask is left out if its box overlaps (IoU) more with a better one's.
            crop_n_layers: further layers of crops to segment; layer i has 4^i crops.
            crop_nms_thresh: as `box_nms_thresh`, between crops; smaller crops win.
            crop_overlap_ratio: overlap of the first layer's crops as a share of the short side.
            crop_n_points_downscale_factor: layer i has points_per_side / factor^i points a side.
            point_grids: for each layer (n, 2) points in 0..1 instead of regular grids.
            min_mask_region_area: smaller holes and islands of masks are removed, pixels; 0 for
                none.
            colour_order: of the network's input. SAM was trained on `rgb`; the published
                Objectomaly feeds it `bgr`.
            precision: of the network's matrix products; all else is float32. Anything but
                `float32` changes masks.
            point_source: chooses the whole image's points instead of the grid.

        Raises:
            ValueError: an option is out of its range.
        """
        if points_per_batch < 1:
            raise ValueError(f"points_per_batch must be at least 1, got {points_per_batch}")
        if colour_order not in ("rgb", "bgr"):
            raise ValueError(f"colour_order must be 'rgb' or 'bgr', got {colour_order!r}")
        check_precision(precision)
        self._network = sam if isinstance(sam, PointNetwork) else SamNetwork(sam)
        self.device = self._network.device
        self._points_per_batch = points_per_batch
        self._has_halved = False
        self._min_predicted_iou = pred_iou_thresh
        self._min_stability = stability_score_thresh
        self._cuts = Cuts(self._network.mask_threshold, stability_score_offset)
        self._box_nms_thresh, self._crop_nms_thresh = box_nms_thresh, crop_nms_thresh
        self._crop_layers, self._crop_overlap = crop_n_layers, crop_overlap_ratio
        self._grids = grids(
            points_per_side, crop_n_layers, crop_n_points_downscale_factor, point_grids
        )
        self._point_source = point_source
        self._min_region = min_mask_region_area
        self._bgr = colour_order == "bgr"
        self._precision: Precision = precision

    def generate(self, image: Image, score: ScoreMap | None = None) -> Masks:
        """Return the masks of `image` on the host, (N, H, W) bool; see `segment`."""
        masks: Masks = self.segment(image, score).masks.cpu().numpy()
        return masks

    def find(self, image: Image, score: ScoreMap | torch.Tensor | None = None) -> MaskSet:
        """Return the masks of `image` on the device; see `segment`."""
        return self.segment(image, score).mask_set()

    def segment(self, image: Image, score: ScoreMap | torch.Tensor | None = None) -> SamResult:
        """Return the masks of `image` on the device, with their scores and prompts.

        Args:
            image: (H, W, 3) RGB uint8.
            score: (h, w) coarse score for the point source, if there is one; a tensor is copied to
                the host for it.

        Raises:
            TypeError, ValueError: the image has another form, or is too narrow for SAM.
            torch.OutOfMemoryError: not even one point at a time fits.
        """
        check_image(image)
        clock = Stopwatch(*STAGES, device=self.device)
        boxes, layers = amg.generate_crop_boxes(
            image.shape[:2], self._crop_layers, self._crop_overlap
        )
        with torch.inference_mode():
            parts = [
                self._segment_crop(image, tuple(box), self._points(layer, score), clock)
                for box, layer in zip(boxes, layers, strict=True)
            ]
            with clock.stage(POST_PROCESSING):
                result = SamResult.joined(parts)
                if len(parts) > 1:  # smaller crops win
                    ranks = 1 / box_area(result.crop_boxes)
                    result = result.select(suppress(result.boxes, ranks, self._crop_nms_thresh))
                if self._min_region > 0:
                    max_iou = max(self._box_nms_thresh, self._crop_nms_thresh)
                    result = result.without_small_regions(self._min_region, max_iou)
        result.timings.update(clock.seconds())
        return result

    def _points(self, layer: int, score: ScoreMap | torch.Tensor | None) -> Points:
        """Return the points for crops of a layer, (n, 2) in 0..1; layer 0 is the whole image."""
        if layer > 0 or self._point_source is None:
            return self._grids[layer]
        return self._point_source(score.cpu().numpy() if isinstance(score, torch.Tensor) else score)

    def _segment_crop(
        self, image: Image, crop_box: tuple[int, int, int, int], points: Points, clock: Stopwatch
    ) -> SamResult:
        """Return the masks of a crop that pass the filters, by descending predicted IoU."""
        x0, y0, x1, y1 = crop_box
        crop = image[y0:y1, x0:x1, ::-1] if self._bgr else image[y0:y1, x0:x1]
        with clock.stage(ENCODER), autocast(self.device, self._precision):
            input_size, features = self._network.encode(crop)
        with clock.stage(DECODER), autocast(self.device, self._precision):
            prepared = self._network.prepare(features)
        with clock.stage(POST_PROCESSING):
            sides = self._network.filled_side, self._network.low_side
            placement = Placement(*sides, input_size, crop_box, (image.shape[0], image.shape[1]))
            on_cpu = self.device.type == "cpu"
            at_full_size = BoxedMasks(placement) if on_cpu else TiledMasks(placement)
            parts = [_no_masks(placement, self.device)]
        pixels = np.asarray(points, dtype=np.float64) * np.array([[x1 - x0, y1 - y0]])
        start = 0
        while start < len(pixels):
            batch = pixels[start : start + self._points_per_batch]
            try:
                parts.append(self._decode(prepared, batch, placement, at_full_size, clock))
                start += len(batch)
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                self._halve(len(batch))
        with clock.stage(POST_PROCESSING):
            found = SamResult.joined(parts)
            kept = suppress(found.boxes, found.predicted_iou, self._box_nms_thresh)
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
        """Decode a batch of points in pixels of the crop, and filter its masks one by one."""
        with clock.stage(DECODER), autocast(self.device, self._precision):
            scaled = self._network.scaled(points, placement.crop_size)
            decoded = self._network.decode(
                prepared, torch.as_tensor(scaled, device=self.device), self._min_predicted_iou
            )
        with clock.stage(POST_PROCESSING):
            logits = placement.trim(decoded.logits.float())
            measures = at_full_size.measure(logits, self._cuts)
            height, width = placement.image_size
            keep = ~amg.is_box_near_crop_edge(
                measures.boxes, list(placement.crop_box), [0, 0, width, height]
            )
            if self._min_stability > 0:
                keep &= measures.stability >= self._min_stability
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
        self._points_per_batch = tried // 2
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
