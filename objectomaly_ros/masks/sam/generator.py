"""SAM's automatic masks: the official generator's result, without its detours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torchvision.ops.boxes import box_area

from objectomaly_ros.arrays.checks import check_image
from objectomaly_ros.masks.sam.candidates import suppress
from objectomaly_ros.masks.sam.network import PointNetwork, SamNetwork
from objectomaly_ros.masks.sam.prompts import Crop, Points, PointSource, crops, grids
from objectomaly_ros.masks.sam.result import SamResult
from objectomaly_ros.masks.sam.segmenter import (
    POST_PROCESSING,
    STAGES,
    ColourOrder,
    CropSegmenter,
    Filters,
)
from objectomaly_ros.masks.sam.small_regions import without_small_regions
from objectomaly_ros.models.devices import Precision, autocast
from objectomaly_ros.models.timing import Stopwatch
from objectomaly_ros.types import Image, Masks, MaskSet, ScoreMap


class SamMasks:
    """Everything in an image that SAM finds from a grid of points.

    The masks are those of `segment_anything.SamAutomaticMaskGenerator` with the same network and
    parameters, in the same order: any difference is one of rounding, like that between two runs of
    the official generator with another `points_per_batch`. What is saved is work, not masks: what
    the decoder does for the image is done once; masks that the network itself predicts to be poor
    are never brought to full size; the others are measured there in tiles and forgotten, and after
    suppression only the few that remain are made.

    Memory, beside the network's own: for each point of a batch about 40 MB in the decoder (64x64
    embedding, float32); at most three low-resolution masks of 256 KB a point of a crop (800 MB for
    32x32 points if none is filtered out; usually a tenth); some 300 MB for one tile at full size
    on a GPU, five full-size float32 maps on the CPU; and H W bytes for each mask returned, twice
    that while crops are joined.

    A GPU is waited for where the number of masks decides a shape: twice a batch of points in the
    decoder, once a batch after the filters, in suppression, and at the end.

    Attributes:
        device: where the network runs.
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
            sam: a `segment_anything.modeling.Sam` on its device; its image encoder may be any
                module with `img_size` that gives the embedding. Or any other `PointNetwork`.
            points_per_side: of the grid that the image is prompted with; None with `point_grids`.
            points_per_batch: points decoded together; more need more memory and change nothing.
            pred_iou_thresh: masks at or below this predicted quality are left out; 0 keeps all.
            stability_score_thresh: masks below this stability are left out; 0 keeps all.
            stability_score_offset: logits that the cut moves by for the stability score.
            box_nms_thresh: masks whose box overlaps (IoU) more with a better one's are left out.
            crop_n_layers: further layers of crops to segment, layer i with 4^i of them.
            crop_nms_thresh: as `box_nms_thresh`, between crops; smaller crops win.
            crop_overlap_ratio: overlap of the first layer's crops as a share of the short side.
            crop_n_points_downscale_factor: layer i has points_per_side / factor^i points a side.
            point_grids: for each layer (n, 2) points in 0..1 instead of regular grids.
            min_mask_region_area: pixels; smaller holes and islands of masks are removed. 0 keeps.
            colour_order: what the network is fed. SAM was trained on `rgb`; the published
                Objectomaly feeds it `bgr`.
            precision: of the network's matrix products; all else is float32. Anything but
                `float32` changes masks.
            point_source: chooses the whole image's points in place of the grid.

        Raises:
            ValueError: an option is out of its range.
        """
        if points_per_batch < 1:
            raise ValueError(f"points_per_batch must be at least 1, got {points_per_batch}")
        if colour_order not in ("rgb", "bgr"):
            raise ValueError(f"colour_order must be 'rgb' or 'bgr', got {colour_order!r}")
        network = sam if isinstance(sam, PointNetwork) else SamNetwork(sam)
        self.device = network.device
        autocast(self.device, precision)  # an unknown precision is refused now
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
            score: (h, w) coarse score for the point source; a tensor is copied to the host where
                there is one, and not looked at where there is none.

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
                found, masks = self._segmenter.segment(image, crop, points, clock)
                parts.append(SamResult.of_crop(found, masks, crop.box))
            with clock.stage(POST_PROCESSING):
                result = SamResult.joined(parts)
                if len(parts) > 1:
                    ranks = 1 / box_area(result.crop_boxes)
                    kept = suppress(result.boxes, ranks, self._crop_nms_thresh)
                    result = result.select(kept)
                if self._min_region > 0:
                    result = without_small_regions(result, self._min_region, self._final_nms_thresh)
        result.timings.update(clock.seconds())
        return result

    def _points(self, crop: Crop, score: ScoreMap | torch.Tensor | None) -> Points:
        """Return the points of a crop, (n, 2) float64 pixels."""
        height, width = crop.size
        if crop.layer == 0 and self._point_source is not None:
            if isinstance(score, torch.Tensor):
                score = score.cpu().numpy()
            unit = np.asarray(self._point_source((height, width), score), dtype=np.float64)
        else:
            unit = np.asarray(self._grids[crop.layer], dtype=np.float64)
        return unit * np.array([[width, height]], dtype=np.float64)
