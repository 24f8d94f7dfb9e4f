"""SAM's automatic masks: the official generator's result, without its detours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torchvision.ops.boxes import box_area

from objectomaly_ros.arrays.checks import check_image
from objectomaly_ros.masks.sam.network import PointNetwork, SamNetwork
from objectomaly_ros.masks.sam.prompts import Crop, Points, PointSource, crops, grids
from objectomaly_ros.masks.sam.result import SamResult, suppress
from objectomaly_ros.masks.sam.segmenter import (
    POST_PROCESSING,
    STAGES,
    ColourOrder,
    CropSegmenter,
    Filters,
)
from objectomaly_ros.models.devices import Precision, check_precision
from objectomaly_ros.models.timing import Stopwatch
from objectomaly_ros.types import Image, Masks, MaskSet, ScoreMap


class SamMasks:
    """Everything in an image that SAM finds from a grid of points.

    The masks are those of `segment_anything.SamAutomaticMaskGenerator` with the same network and
    parameters, in the same order. Differences are of rounding, like those between two runs of the
    official generator with different `points_per_batch`. Only work is saved: the decoder does the
    image's part once; masks that the network predicts to be poor are never brought to full size;
    the others are measured there in tiles and forgotten; the few that survive suppression are made
    again.

    Memory, beside the network's own: for each point of a batch about 40 MB in the decoder (64x64
    embedding, float32); at most three low-resolution masks of 256 KB for each point of a crop
    (800 MB for 32x32 points without filters, usually a tenth); at full size some 300 MB for one
    tile on a GPU, five float32 maps on the CPU; and H W bytes for each mask returned, twice that
    while crops are joined.

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
        network = sam if isinstance(sam, PointNetwork) else SamNetwork(sam)
        self.device = network.device
        check_precision(precision)
        filters = Filters(
            pred_iou_thresh, stability_score_thresh, stability_score_offset, box_nms_thresh
        )
        self._segmenter = CropSegmenter(network, filters, points_per_batch, colour_order, precision)
        self._grids = grids(
            points_per_side, crop_n_layers, crop_n_points_downscale_factor, point_grids
        )
        self._point_source = point_source
        self._crop_layers = crop_n_layers
        self._crop_overlap = crop_overlap_ratio
        self._crop_nms_thresh = crop_nms_thresh
        self._min_region = min_mask_region_area
        self._final_nms_thresh = max(box_nms_thresh, crop_nms_thresh)

    def generate(self, image: Image, score: ScoreMap | None = None) -> Masks:
        """Return the masks of `image` on the host, (N, H, W) bool; see `segment`."""
        masks: Masks = self.segment(image, score).masks.cpu().numpy()
        return masks

    def find(self, image: Image, score: ScoreMap | torch.Tensor | None = None) -> MaskSet:
        """Return the masks of `image` on the device; see `segment`."""
        return self.segment(image, score).mask_set()

    def segment(self, image: Image, score: ScoreMap | torch.Tensor | None = None) -> SamResult:
        """Return the masks of `image` on the device, with what SAM says of each.

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
        image_size = (image.shape[0], image.shape[1])
        parts = []
        with torch.inference_mode():
            for crop in crops(image_size, self._crop_layers, self._crop_overlap):
                points = self._points(crop, score)
                parts.append(self._segmenter.segment(image, crop, points, clock))
            with clock.stage(POST_PROCESSING):
                result = SamResult.joined(parts)
                if len(parts) > 1:
                    ranks = 1 / box_area(result.crop_boxes)
                    kept = suppress(result.boxes, ranks, self._crop_nms_thresh)
                    result = result.select(kept)
                if self._min_region > 0:
                    result = result.without_small_regions(self._min_region, self._final_nms_thresh)
        result.timings.update(clock.seconds())
        return result

    def _points(self, crop: Crop, score: ScoreMap | torch.Tensor | None) -> Points:
        """Return the points of a crop, (n, 2) float64 pixels."""
        unit = self._grids[crop.layer]
        if crop.layer == 0 and self._point_source is not None:
            on_host = score.cpu().numpy() if isinstance(score, torch.Tensor) else score
            unit = self._point_source(on_host)
        return np.asarray(unit, dtype=np.float64) * np.array([crop.size[::-1]], dtype=np.float64)
