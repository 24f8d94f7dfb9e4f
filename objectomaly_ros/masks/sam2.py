"""Mask generators `sam2_hiera_*` and `edgetam`: SAM 2, SAM 2.1 and EdgeTAM on single images.

The networks are transformers'. Grid, filters and crops are those of SAM (`masks.sam`), with the
defaults of the official `SAM2AutomaticMaskGenerator`. transformers' pipeline for mask generation is
not used. It places points as for SAM, whose input keeps the image's shape; the input of SAM 2 is
stretched to a square, so a part of it would get no points.
"""

from __future__ import annotations

import json
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from torchvision.transforms.functional import normalize

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.names import complain, load_tensors
from objectomaly_ros.masks.sam.decoder import Decoded
from objectomaly_ros.masks.sam.generator import SamMasks
from objectomaly_ros.masks.sam.loading import check_generator_options, mask_generator
from objectomaly_ros.masks.sam.prompts import Points
from objectomaly_ros.masks.sam2_weights import EDGETAM, architecture, check_timm, read_official
from objectomaly_ros.models.devices import device_of
from objectomaly_ros.models.registry import keyword_options
from objectomaly_ros.types import Image

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Sam2Network:
    """A `PointNetwork` of transformers' `Sam2Model` or `EdgeTamModel`.

    Attributes:
        device, mask_threshold, low_side, filled_side: see `masks.sam.network.PointNetwork`; both
            sides are equal, because logits are enlarged to the image at once.
    """

    def __init__(self, network: Any) -> None:
        """Take a network on its device."""
        self._network = network.eval().requires_grad_(False)
        self.device = torch.device(network.device)
        self.mask_threshold = 0.0
        self.low_side = self.filled_side = int(network.backbone_feature_sizes[0][0])
        side = network.config.prompt_encoder_config.image_size
        self._side = int(side if isinstance(side, int) else side[0])

    def encode(self, crop: Image) -> tuple[tuple[int, int], list[torch.Tensor]]:
        """Return the whole square as the crop's size in it, and the crop's three feature maps."""
        array = np.ascontiguousarray(crop)  # torch takes no reversed view, as of swapped colours
        pixels = torch.from_numpy(array).to(self.device).permute(2, 0, 1)[None].float() / 255
        square = F.interpolate(
            pixels, (self._side, self._side), mode="bilinear", align_corners=False, antialias=True
        )
        features = self._network.get_image_embeddings(normalize(square, _MEAN, _STD))
        return (self.filled_side, self.filled_side), list(features)

    def prepare(self, features: list[torch.Tensor]) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return the features and the positional encoding of the embedding."""
        return features, self._network.get_image_wide_positional_embeddings()

    def scaled(self, points: Points, crop_size: tuple[int, int]) -> Points:
        """Return the points in pixels of the square to which the crop is stretched."""
        return points * (self._side / np.array([crop_size[1], crop_size[0]]))

    def decode(
        self,
        prepared: tuple[list[torch.Tensor], torch.Tensor],
        points: torch.Tensor,
        min_predicted_iou: float,
    ) -> Decoded:
        """Return the masks of (B, 2) scaled points whose predicted IoU exceeds the limit."""
        features, position = prepared
        labels = torch.ones((1, len(points), 1), dtype=torch.int64, device=self.device)
        sparse, dense = self._network.prompt_encoder(
            input_points=points[None, :, None].float(),
            input_labels=labels,
            input_boxes=None,
            input_masks=None,
        )
        logits, quality, _, _ = self._network.mask_decoder(
            image_embeddings=features[-1],
            image_positional_embeddings=position,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
            high_resolution_features=features[:-1],
        )
        logits, quality = logits[0], quality[0]
        keep = quality > min_predicted_iou if min_predicted_iou > 0 else quality == quality
        prompt = torch.arange(len(points), device=self.device)[:, None].expand(keep.shape)
        return Decoded(logits[keep], quality[keep], prompt[keep])


def load(
    name: str,
    checkpoint: str | PathLike[str] | None = None,
    device: str = "cpu",
    *,
    pred_iou_thresh: float = 0.8,
    **options: Any,
) -> SamMasks:
    """Build a generator from local weights; nothing is downloaded.

    Args:
        name: `sam2_hiera_tiny`, `_small`, `_base_plus`, `_large`, or `edgetam`.
        checkpoint: the official `.pt` (of SAM 2 or 2.1), or a folder as Hugging Face has it, with
            config.json and model.safetensors.
        device: a torch device.
        pred_iou_thresh: SAM 2's own default, lower than SAM's.
        **options: of `masks.sam.loading.mask_generator`.

    Raises:
        CheckpointError: no weights, unsafe or damaged ones, or tensors that do not fit.
        ImportError: transformers, or for EdgeTAM timm, is not installed.
        TypeError: an option is unknown.
    """
    check_generator_options(name, options, own=keyword_options(load))
    where = device_of(device)
    if checkpoint is None:
        raise CheckpointError(
            f"{name} needs its weights: `objectomaly checkpoints list` says where to get them; "
            "then give the path of the .pt, or of a Hugging Face folder, as checkpoint"
        )
    path = Path(checkpoint)
    if path.is_dir():
        network = _from_folder(name, path)
    else:
        tensors = read_official(path, name)  # before the network is built, which takes seconds
        network = architecture(name)
        load_tensors(network, tensors, str(path))
    on_device = Sam2Network(network.to(where))
    return mask_generator(on_device, pred_iou_thresh=pred_iou_thresh, **options)


def _from_folder(name: str, folder: Path) -> Any:
    for file in ("config.json", "model.safetensors"):
        if not (folder / file).is_file():
            raise CheckpointError(f"{folder} holds no {file}, so it is no Hugging Face model")
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        kind = dict(config).get("model_type", "none")
    except (ValueError, TypeError) as error:
        raise CheckpointError(
            f"{folder / 'config.json'} is damaged ({error}); download the folder again"
        ) from error
    # The published folders describe the video model, which holds the image model.
    if str(kind).removesuffix("_video") != ("edgetam" if name == EDGETAM else "sam2"):
        raise CheckpointError(f"{folder} holds a model of type {kind!r}, not one for {name}")
    if name == EDGETAM:
        check_timm()
    from safetensors import SafetensorError
    from transformers import EdgeTamModel, Sam2Model

    try:
        network, report = (EdgeTamModel if name == EDGETAM else Sam2Model).from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (SafetensorError, RuntimeError, OSError, ValueError) as error:
        raise CheckpointError(f"{folder} cannot be loaded: {error}") from error
    complain(str(folder), sorted(report["missing_keys"]), [], [])
    return network


sam2_hiera_tiny = partial(load, "sam2_hiera_tiny")
sam2_hiera_small = partial(load, "sam2_hiera_small")
sam2_hiera_base_plus = partial(load, "sam2_hiera_base_plus")
sam2_hiera_large = partial(load, "sam2_hiera_large")
edgetam = partial(load, EDGETAM)
