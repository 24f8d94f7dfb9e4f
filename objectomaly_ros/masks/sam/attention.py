"""SAM's image attention as one fused operation that never holds the attention map.

A decomposed relative position adds to the logit of query i and key j a term for the row of j and
one for its column (Li et al., "MViTv2", arXiv 2112.01526, section 4.1). Such a sum is a product
of vectors too: the query's terms for every row and every column, times a key that is 1 at its own
row and its own column. Appended to query and key, they let `scaled_dot_product_attention` do all.
"""

from __future__ import annotations

from typing import Any

import torch
from segment_anything.modeling.image_encoder import get_rel_pos
from torch import nn
from torch.nn import functional as F


class FusedAttention(nn.Module):
    """Takes the place of an `Attention` of SAM's image encoder, with its tensors and their names.

    Rounding differs from the original's: embeddings by about 1e-6 of their size in float32.
    """

    def __init__(self, attention: Any) -> None:
        """Take the layer; it must have relative positions."""
        super().__init__()
        self.num_heads = attention.num_heads
        self.scale = attention.scale
        self.qkv = attention.qkv
        self.proj = attention.proj
        self.rel_pos_h = attention.rel_pos_h
        self.rel_pos_w = attention.rel_pos_w

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attend among the tokens of each window, (B, H, W, C) to the same shape."""
        batch, height, width, _ = x.shape
        qkv = self.qkv(x).reshape(batch, height * width, 3, self.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, H W, C / heads)
        by_place = q.reshape(batch, self.num_heads, height, width, -1)
        rows = get_rel_pos(height, height, self.rel_pos_h).to(q.dtype)
        columns = get_rel_pos(width, width, self.rel_pos_w).to(q.dtype)
        to_rows = torch.einsum("bnhwc,hkc->bnhwk", by_place, rows).flatten(2, 3)
        to_columns = torch.einsum("bnhwc,wkc->bnhwk", by_place, columns).flatten(2, 3)
        places = torch.cat(
            [
                torch.eye(height, dtype=k.dtype, device=k.device).repeat_interleave(width, 0),
                torch.eye(width, dtype=k.dtype, device=k.device).repeat(height, 1),
            ],
            dim=1,
        )
        query = torch.cat([q * self.scale, to_rows.to(q.dtype), to_columns.to(q.dtype)], dim=-1)
        key = torch.cat([k, places.expand(*k.shape[:2], -1, -1)], dim=-1)
        # Fused kernels want values as long as keys.
        value = F.pad(v, (0, height + width))
        out = F.scaled_dot_product_attention(query, key, value, scale=1.0)[..., : v.shape[-1]]
        joined = out.transpose(1, 2).reshape(batch, height, width, -1)
        projected: torch.Tensor = self.proj(joined)
        return projected


def fuse_attention(image_encoder: nn.Module) -> None:
    """Replace every attention of a `segment_anything.modeling.ImageEncoderViT` by the fused one.

    Raises:
        ValueError: the encoder is another, or has no relative positions.
    """
    blocks: Any = getattr(image_encoder, "blocks", None)
    layers = [getattr(block, "attn", None) for block in blocks or ()]
    if not layers or not all(getattr(layer, "use_rel_pos", False) for layer in layers):
        raise ValueError(
            "fused_attention is for SAM's ViT-H, -L and -B, not for a "
            f"{type(image_encoder).__name__}"
        )
    for block, layer in zip(blocks, layers, strict=True):
        block.attn = FusedAttention(layer)
