"""Loads official (detectron2) tensors into the transformers network, or names the misfits."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import nn

from objectomaly_ros.checkpoints.names import complain

# From our network's name to the official one; applied in order, each as often as it matches.
_RULES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^segmenter\.", ""),
        (r"^model\.pixel_level_module\.encoder\.", "backbone."),
        (r"^model\.pixel_level_module\.decoder\.", "sem_seg_head.pixel_decoder."),
        (r"^model\.transformer_module\.(decoder\.)?", "sem_seg_head.predictor."),
        (r"^class_predictor\.", "sem_seg_head.predictor.class_embed."),
        # Swin
        (
            r"^backbone\.swin\.embeddings\.patch_embeddings\.projection\.",
            "backbone.patch_embed.proj.",
        ),
        (r"^backbone\.swin\.embeddings\.norm\.", "backbone.patch_embed.norm."),
        (r"^backbone\.swin\.encoder\.layers\.", "backbone.layers."),
        (r"^(backbone\.layers\..*)\.layernorm_before\.", r"\1.norm1."),
        (r"^(backbone\.layers\..*)\.layernorm_after\.", r"\1.norm2."),
        (r"^(backbone\.layers\..*)\.attention\.relative_position_bias\.", r"\1.attn."),
        (r"^(backbone\.layers\..*)\.attention\.[qkv]_proj\.", r"\1.attn.qkv."),
        (r"^(backbone\.layers\..*)\.attention\.o_proj\.", r"\1.attn.proj."),
        # ResNet
        (r"^backbone\.embedder\.embedder\.", "backbone.stem.conv1."),
        (r"^backbone\.encoder\.stages\.(\d)\.layers\.", r"backbone.stage\1."),
        (r"^(backbone\.stage\d\.\d+)\.layer\.(\d)\.", r"\1.conv<\2>."),
        (r"^(backbone\.st.*)\.convolution\.", r"\1."),
        (r"^(backbone\.st.*)\.normalization\.", r"\1.norm."),
        # pixel decoder
        (r"\.pixel_decoder\.input_projections\.", ".pixel_decoder.input_proj."),
        (r"\.pixel_decoder\.level_embed$", ".pixel_decoder.transformer.level_embed"),
        (r"\.pixel_decoder\.encoder\.", ".pixel_decoder.transformer.encoder."),
        (r"(\.transformer\.encoder\.layers\.\d+)\.self_attn_layer_norm\.", r"\1.norm1."),
        (r"(\.transformer\.encoder\.layers\.\d+)\.final_layer_norm\.", r"\1.norm2."),
        (r"(\.transformer\.encoder\.layers\.\d+)\.fc(\d)\.", r"\1.linear\2."),
        (r"\.pixel_decoder\.mask_projection\.", ".pixel_decoder.mask_features."),
        (r"\.pixel_decoder\.(adapter|layer)_(\d)\.0\.", r".pixel_decoder.\1_\2."),
        (r"\.pixel_decoder\.(adapter|layer)_(\d)\.1\.", r".pixel_decoder.\1_\2.norm."),
        # transformer decoder
        (r"\.predictor\.queries_features\.", ".predictor.query_feat."),
        (r"\.predictor\.queries_embedder\.", ".predictor.query_embed."),
        (r"\.predictor\.layernorm\.", ".predictor.decoder_norm."),
        (
            r"\.predictor\.mask_predictor\.mask_embedder\.(\d)\.0\.",
            r".predictor.mask_embed.layers.\1.",
        ),
        *(
            (rf"\.predictor\.layers\.(\d+)\.{ours}\.", rf".predictor.transformer_{theirs}")
            for ours, theirs in (
                (r"self_attn\.[qkv]_proj", r"self_attention_layers.\1.self_attn.in_proj_"),
                (r"self_attn", r"self_attention_layers.\1.self_attn."),
                (r"self_attn_layer_norm", r"self_attention_layers.\1.norm."),
                (
                    r"cross_attn\.(foreground|background)",
                    r"cross_attention_layers.\1.multihead_attn_\2.",
                ),
                (r"cross_attn", r"cross_attention_layers.\1.multihead_attn."),
                (r"cross_attn_layer_norm", r"cross_attention_layers.\1.norm."),
                (r"final_layer_norm", r"ffn_layers.\1.norm."),
                (r"fc(\d)", r"ffn_layers.\1.linear\2."),
            )
        ),
    )
]
# Numbers with another origin: ResNet's stages from res2, its convolutions from conv1, Swin's norms
# from norm0.
_SHIFTS = [
    (re.compile(r"^backbone\.stage(\d)\."), "backbone.res{}.", 2),
    (re.compile(r"conv<(\d)>"), "conv{}", 1),
    (re.compile(r"^backbone\.hidden_states_norms\.stage(\d)\."), "backbone.norm{}.", -1),
]
_PART_OF_THREE = re.compile(r"\.(?:self_attn|attention)\.([qkv])_proj\.")
_NOT_OFFICIAL = re.compile(r"\.swin\.layernorm\.|num_batches_tracked$")
_UNUSED = re.compile(r"num_batches_tracked$|relative_position_index$|attn_mask$|\.fusion_layer\.")
_WEIGHTS = ("backbone.", "sem_seg_head.")


def official_name(name: str) -> tuple[str, int | None]:
    """Translate the name of one tensor of `Mask2FormerNetwork`.

    Returns:
        the official name, and the third of its rows (0 query, 1 key, 2 value), or None for all.
    """
    part = _PART_OF_THREE.search(name)
    for pattern, replacement in _RULES:
        name = pattern.sub(replacement, name)
    for pattern, template, offset in _SHIFTS:
        found = pattern.search(name)
        if found:
            name = pattern.sub(template.format(int(found[1]) + offset), name)
    return name, "qkv".index(part[1]) if part else None


def official_names(network: nn.Module) -> set[str]:
    """Return the official names of all tensors of a `Mask2FormerNetwork`."""
    return {official_name(n)[0] for n in network.state_dict() if not _NOT_OFFICIAL.search(n)}


def load_official(network: nn.Module, tensors: Mapping[str, torch.Tensor], source: str) -> None:
    """Load official tensors into a `Mask2FormerNetwork`.

    Args:
        network: its parameters and buffers are replaced.
        tensors: under canonical names (`checkpoints.names`).
        source: the file's name, for messages.

    Raises:
        CheckpointError: tensors are missing, have another shape, or are left over.
    """
    missing: list[str] = []
    misshaped: list[str] = []
    used: set[str] = set()
    loaded: dict[str, torch.Tensor] = {}
    for name, current in network.state_dict().items():
        if _NOT_OFFICIAL.search(name):
            loaded[name] = torch.zeros_like(current)
            continue
        official, part = official_name(name)
        tensor = tensors.get(official)
        used.add(official)
        if tensor is None:
            missing.append(official)
            continue
        rows, *rest = current.shape
        expected = [rows if part is None else 3 * rows, *rest]
        if list(tensor.shape) != expected:
            misshaped.append(f"{official} {list(tensor.shape)} instead of {expected}")
            continue
        own = tensor if part is None else tensor.chunk(3)[part]
        loaded[name] = own.to(current.dtype, copy=True)
    extra = [
        name
        for name in tensors
        if name.startswith(_WEIGHTS) and name not in used and not _UNUSED.search(name)
    ]
    complain(source, missing, misshaped, extra)
    network.load_state_dict(loaded, assign=True)
