"""SAM 2 and EdgeTAM for transformers: architectures, and the official tensors under its names.

Ravi et al., "SAM 2: Segment Anything in Images and Videos", arXiv 2408.00714; Zhou et al.,
"EdgeTAM", arXiv 2501.07256. SAM 2.1 differs from SAM 2 in its video memory alone, so for images one
architecture serves both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from objectomaly_ros.checkpoints.names import check_owner, complain
from objectomaly_ros.checkpoints.reading import read_tensors

EDGETAM = "edgetam"

# The published Hiera image encoders; what all share is transformers' default.
_HIERAS: dict[str, dict[str, Any]] = {
    "sam2_hiera_tiny": {
        "hidden_size": 96,
        "num_attention_heads": 1,
        "blocks_per_stage": [1, 2, 7, 2],
        "global_attention_blocks": [5, 7, 9],
    },
    "sam2_hiera_small": {
        "hidden_size": 96,
        "num_attention_heads": 1,
        "blocks_per_stage": [1, 2, 11, 2],
        "global_attention_blocks": [7, 10, 13],
    },
    "sam2_hiera_base_plus": {
        "hidden_size": 112,
        "num_attention_heads": 2,
        "blocks_per_stage": [2, 3, 16, 3],
        "global_attention_blocks": [12, 16, 20],
        "window_positional_embedding_background_size": [14, 14],
    },
    "sam2_hiera_large": {
        "hidden_size": 144,
        "num_attention_heads": 2,
        "blocks_per_stage": [2, 6, 36, 4],
        "global_attention_blocks": [23, 33, 43],
        "window_size_per_stage": [8, 4, 16, 8],
    },
}

# Official name -> transformers' name, applied one after the other.
_RENAMED = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^sam_(prompt_encoder|mask_decoder)\.", r"\1."),
        (r"^image_encoder\.trunk\.body\.", "vision_encoder.backbone.timm_model."),
        (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
        (r"^image_encoder\.neck\.convs\.(\d+)\.conv\.", r"vision_encoder.neck.convs.\1."),
        (r"^no_mem_embed$", "no_memory_embedding"),
        (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
        (r"\.pe_layer\.positional_encoding_gaussian_matrix$",
         ".shared_embedding.positional_embedding"),
        (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
        (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
        (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
        (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
        (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
        (r"\.output_upscaling\.0\.", ".upscale_conv1."),
        (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
        (r"\.output_upscaling\.3\.", ".upscale_conv2."),
        (r"\.mlp\.layers\.0\.", ".mlp.proj_in."),
        (r"\.mlp\.layers\.1\.", ".mlp.proj_out."),
        (r"(_head|_mlps\.\d)\.layers\.0\.", r"\1.proj_in."),
        (r"(_head|_mlps\.\d)\.layers\.1\.", r"\1.layers.0."),
        (r"(_head|_mlps\.\d)\.layers\.2\.", r"\1.proj_out."),
        (r"^(?!.*timm_model)(.*)\.norm", r"\1.layer_norm"),
        (r"\.out_proj\.", ".o_proj."),
    )
)  # fmt: skip
_USED = ("vision_encoder.", "prompt_encoder.", "mask_decoder.", "no_memory_embedding")
_POINT_LABELS = 4  # negative, positive, and the two corners of a box


def architecture(name: str) -> Any:
    """Return a network of that name without meaningful weights, a `Sam2Model` or `EdgeTamModel`.

    Args:
        name: `sam2_hiera_tiny`, `_small`, `_base_plus`, `_large`, or `edgetam`.

    Raises:
        ImportError: transformers, or for EdgeTAM timm, is not installed.
        ValueError: another name.
    """
    if name == EDGETAM:
        return _edgetam()
    if name not in _HIERAS:
        raise ValueError(f"{name!r} is not one of {', '.join([*_HIERAS, EDGETAM])}")
    from transformers import Sam2Config, Sam2HieraDetConfig, Sam2Model, Sam2VisionConfig

    first = _HIERAS[name]["hidden_size"]
    widths = [first, 2 * first, 4 * first, 8 * first]
    heads = _HIERAS[name]["num_attention_heads"]
    backbone = Sam2HieraDetConfig(
        **_HIERAS[name],
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[heads, 2 * heads, 4 * heads, 8 * heads],
    )
    vision = Sam2VisionConfig(backbone_config=backbone, backbone_channel_list=widths[::-1])
    return Sam2Model(Sam2Config(vision_config=vision)).eval()


def _edgetam() -> Any:
    check_timm()
    from transformers import EdgeTamConfig, EdgeTamModel, EdgeTamVisionConfig, TimmWrapperConfig

    backbone = TimmWrapperConfig(
        architecture="repvit_m1",
        model_args={"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
    )
    vision = EdgeTamVisionConfig(backbone_config=backbone)
    return EdgeTamModel(EdgeTamConfig(vision_config=vision)).eval()


def check_timm() -> None:
    """Raise an ImportError without timm, from which transformers takes EdgeTAM's backbone."""
    if find_spec("timm") is None:
        raise ImportError("edgetam needs timm for its image encoder: pip install timm")


def read_official(path: str | Path, name: str) -> dict[str, torch.Tensor]:
    """Read an official `.pt` of SAM 2, SAM 2.1 or EdgeTAM, under its own names.

    Args:
        path: the file.
        name: as `architecture` takes it.

    Raises:
        CheckpointError: no such file, unsafe, damaged, or another network's.
    """
    official = read_tensors(path)
    check_owner(EDGETAM if name == EDGETAM else "sam2", official, str(path))
    return official


def load_official(network: Any, official: Mapping[str, torch.Tensor], source: str) -> None:
    """Load official tensors into transformers' network; what serves video only is left out.

    Args:
        network: from `architecture`.
        official: from `read_official`.
        source: their file, for messages.

    Raises:
        CheckpointError: tensors that do not fit (named).
    """
    tensors = renamed(official)
    expected = {
        name: value
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    missing = [name for name in expected if name not in tensors]
    misshaped = [
        f"{name} {list(tensors[name].shape)} instead of {list(value.shape)}"
        for name, value in expected.items()
        if name in tensors and tensors[name].shape != value.shape
    ]
    complain(source, missing, misshaped, [name for name in tensors if name not in expected])
    network.load_state_dict({name: tensors[name] for name in expected}, strict=False)


def renamed(official: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the official tensors that images need, under transformers' names."""
    tensors = {transformers_name(name): tensor for name, tensor in official.items()}
    tensors = {
        name: tensor
        for name, tensor in tensors.items()
        # What a batch norm counted matters in training only, and some files lack it.
        if name.startswith(_USED) and not name.endswith("num_batches_tracked")
    }
    table = "prompt_encoder.shared_embedding.positional_embedding"
    if table in tensors:
        tensors["shared_image_embedding.positional_embedding"] = tensors[table]
    points = [f"prompt_encoder.point_embeddings.{i}.weight" for i in range(_POINT_LABELS)]
    if all(name in tensors for name in points):
        rows = [tensors.pop(name) for name in points]
        tensors["prompt_encoder.point_embed.weight"] = torch.cat(rows)
    return tensors


def transformers_name(official: str) -> str:
    """Return what transformers calls a tensor of the official files."""
    name = official
    for pattern, replacement in _RENAMED:
        name = pattern.sub(replacement, name)
    return name
