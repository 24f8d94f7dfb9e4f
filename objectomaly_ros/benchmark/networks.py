"""SAM networks with random weights, to time without a checkpoint."""

from __future__ import annotations

import math
import re
import zlib
from functools import partial

import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch import nn

from objectomaly_ros.masks import mobile_sam

TINY = "tiny"
NETWORKS = ("sam_vit_b", "sam_vit_l", "sam_vit_h", "mobile_sam", TINY)

# Pattern in a tensor's name -> scale and centre of its normal distribution. Queries and keys of the
# decoder get the same weights, so that attention is local and masks are blobs instead of noise.
_SPREAD = (
    (r"gaussian_matrix$", 1.0, 0.0),
    (r"pos_embed$", 0.5, 0.0),
    (r"rel_pos_[hw]$", 0.1, 0.0),
    (r"embed.*weight$|(iou_token|mask_tokens)\.weight$", 0.2, 0.0),
    (r"hypernetworks_mlps\.\d\.layers\.2\.bias$", 0.1, -8.0),
    (r"iou_prediction_head\.layers\.2\.bias$", 0.02, 0.9),
)
# Pattern -> gain of a matrix, over the square root of its number of inputs.
_GAINS = (
    (r"hypernetworks_mlps\.\d\.layers\.2\.weight$", 16.0),
    (r"iou_prediction_head\.layers\.2\.weight$", 0.1),
    (r"\.qkv\.weight$", 1.2),
    (r"\.attn\.proj\.weight$|image_encoder.*lin2\.weight$", 0.5),
    (r"mask_decoder.*lin2\.weight$", 0.2),
    (r"mask_decoder.*\.[qk]_proj\.weight$", 3.5),
    (r"mask_decoder.*\.v_proj\.weight$", 2.0),
    (r"mask_decoder.*\.out_proj\.weight$", 3.0),
)


def build(name: str) -> Sam:
    """Return one of `NETWORKS` on the CPU, without meaningful weights.

    Raises:
        ValueError: the name is unknown.
    """
    if name == "mobile_sam":
        return mobile_sam.build()
    if name == TINY:
        return _tiny()
    if name not in NETWORKS:
        raise ValueError(f"{name!r} cannot be timed; choose one of {', '.join(NETWORKS)}")
    sam: Sam = sam_model_registry[name.removeprefix("sam_")]()
    return sam


def fill(network: nn.Module) -> None:
    """Give every tensor values that depend on its name and shape alone."""
    tensors = network.state_dict()
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            tensor.copy_(_values(name, tensor.shape))


def _values(name: str, shape: torch.Size) -> torch.Tensor:
    seed = zlib.crc32(name.replace("k_proj.weight", "q_proj.weight").encode())
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    if name.endswith("running_var"):
        return 1 + 0.1 * noise.abs()
    if "output_upscaling" in name and len(shape) == 4:  # nearly constant kernels: smooth masks
        smooth: torch.Tensor = 2 * noise.mean((2, 3), keepdim=True) + 0.05 * noise
        return smooth * math.sqrt(2 / shape[0])
    for pattern, scale, centre in _SPREAD:
        if re.search(pattern, name):
            return centre + scale * noise
    if len(shape) < 2:
        return 0.1 * noise + (1 if name.endswith("weight") else 0)
    gain = next((gain for pattern, gain in _GAINS if re.search(pattern, name)), math.sqrt(2))
    return noise * (gain / math.sqrt(shape[1:].numel()))


def _tiny() -> Sam:
    """Return a SAM that takes milliseconds."""
    side, width = 256, 64
    return Sam(
        ImageEncoderViT(
            img_size=side, embed_dim=32, depth=2, num_heads=2, mlp_ratio=2, out_chans=width,
            norm_layer=partial(nn.LayerNorm, eps=1e-6), use_rel_pos=True, window_size=5,
            global_attn_indexes=(1,),
        ),
        PromptEncoder(width, (side // 16, side // 16), (side, side), 4),
        MaskDecoder(
            transformer=TwoWayTransformer(2, width, 4, 32),
            transformer_dim=width, iou_head_hidden_dim=32,
        ),
    )  # fmt: skip
