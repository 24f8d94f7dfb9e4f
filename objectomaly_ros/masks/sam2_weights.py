"""SAM 2 and EdgeTAM in transformers: architectures, and the official tensors under its names.

Ravi et al., "SAM 2: Segment Anything in Images and Videos", arXiv 2408.00714; Zhou et al.,
"EdgeTAM", arXiv 2501.07256. SAM 2.1 differs from SAM 2 in its video memory alone: for images, one
architecture serves both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from objectomaly_ros.checkpoints.names import check_owner
from objectomaly_ros.checkpoints.reading import read_tensors

EDGETAM = "edgetam"

# The published Hiera image encoders: width and heads of the first stage, blocks of each stage,
# blocks with global attention, and other differences from transformers' defaults.
_HIERAS: dict[str, tuple[int, int, list[int], list[int], dict[str, Any]]] = {
    "sam2_hiera_tiny": (96, 1, [1, 2, 7, 2], [5, 7, 9], {}),
    "sam2_hiera_small": (96, 1, [1, 2, 11, 2], [7, 10, 13], {}),
    "sam2_hiera_base_plus": (
        112, 2, [2, 3, 16, 3], [12, 16, 20],
        {"window_positional_embedding_background_size": [14, 14]},
    ),
    "sam2_hiera_large": (
        144, 2, [2, 6, 36, 4], [23, 33, 43], {"window_size_per_stage": [8, 4, 16, 8]},
    ),
}  # fmt: skip

# Patterns of official names -> transformers' names, applied one after the other.
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
    """Return a `Sam2Model` or `EdgeTamModel` with random weights.

    Args:
        name: `sam2_hiera_tiny`, `_small`, `_base_plus`, `_large`, or `edgetam`.

    Raises:
        ImportError: transformers, or for EdgeTAM timm, is not installed.
        ValueError: the name is unknown.
    """
    if name == EDGETAM:
        return _edgetam()
    if name not in _HIERAS:
        raise ValueError(f"{name!r} is not one of {', '.join([*_HIERAS, EDGETAM])}")
    from transformers import Sam2Config, Sam2HieraDetConfig, Sam2Model, Sam2VisionConfig

    width, heads, blocks, global_blocks, others = _HIERAS[name]
    widths = [width, 2 * width, 4 * width, 8 * width]
    backbone = Sam2HieraDetConfig(
        hidden_size=width,
        num_attention_heads=heads,
        blocks_per_stage=blocks,
        global_attention_blocks=global_blocks,
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[heads, 2 * heads, 4 * heads, 8 * heads],
        **others,
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
    """Raise a ModuleNotFoundError without timm, from which transformers takes the backbone."""
    if find_spec("timm") is None:
        raise ModuleNotFoundError("EdgeTAM's image encoder is timm's", name="timm")


def read_official(path: str | Path, name: str) -> dict[str, torch.Tensor]:
    """Read an official `.pt` of SAM 2, SAM 2.1 or EdgeTAM, as `renamed` returns its tensors.

    Raises:
        CheckpointError: there is no such file, or it is unsafe, damaged or another network's.
    """
    official = read_tensors(path)
    check_owner(EDGETAM if name == EDGETAM else "sam2", official, str(path))
    return renamed(official)


def renamed(official: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the official tensors that images need, under transformers' names."""
    tensors = {}
    for name, tensor in official.items():
        for pattern, replacement in _RENAMED:
            name = pattern.sub(replacement, name)
        if name.startswith(_USED):
            tensors[name] = tensor
    table = "prompt_encoder.shared_embedding.positional_embedding"
    if table in tensors:
        tensors["shared_image_embedding.positional_embedding"] = tensors[table]
    points = [f"prompt_encoder.point_embeddings.{i}.weight" for i in range(_POINT_LABELS)]
    if all(name in tensors for name in points):
        rows = [tensors.pop(name) for name in points]
        tensors["prompt_encoder.point_embed.weight"] = torch.cat(rows)
    return tensors
