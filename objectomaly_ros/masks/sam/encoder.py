"""SAM's image encoder made faster, with other rounding: fused attention, and `torch.compile`.

In a decomposed relative position, the logit of query i and key j gains a term for the row of j and
one for its column (Li et al., "MViTv2", arXiv 2112.01526, section 4.1). This sum is a product of
vectors too: the query's terms for all rows and columns, times a key that is 1 at its own row and
column. Appended to query and key, they let `scaled_dot_product_attention` do all in one operation,
which never holds the attention map.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import torch
from segment_anything.modeling.image_encoder import get_rel_pos
from torch import nn
from torch.nn import functional as F

Compiled: TypeAlias = bool | Literal["reduce-overhead"]


class FusedAttention(nn.Module):
    """Takes the place of an `Attention` of SAM's image encoder, with its tensors and their names.

    Rounding differs from the original's: embeddings by about 1e-6 of their size in float32.
    """

    def __init__(self, attention: Any) -> None:
        """Take over the layer, which must have relative positions."""
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
        row = torch.eye(height, dtype=k.dtype, device=k.device).repeat_interleave(width, 0)
        column = torch.eye(width, dtype=k.dtype, device=k.device).repeat(height, 1)
        places = torch.cat([row, column], dim=1).expand(*k.shape[:2], -1, -1)
        query = torch.cat([q * self.scale, to_rows.to(q.dtype), to_columns.to(q.dtype)], dim=-1)
        key = torch.cat([k, places], dim=-1)
        value = F.pad(v, (0, height + width))  # fused kernels want values as long as keys
        out = F.scaled_dot_product_attention(query, key, value, scale=1.0)[..., : v.shape[-1]]
        joined = out.transpose(1, 2).reshape(batch, height, width, -1)
        projected: torch.Tensor = self.proj(joined)
        return projected


def fuse_attention(encoder: nn.Module) -> None:
    """Replace every attention of a `segment_anything.modeling.ImageEncoderViT` by the fused one.

    Raises:
        ValueError: it is another encoder, or has no relative positions.
    """
    blocks: Any = getattr(encoder, "blocks", None)
    layers = [getattr(block, "attn", None) for block in blocks or ()]
    if not layers or not all(getattr(layer, "use_rel_pos", False) for layer in layers):
        raise ValueError(
            f"fused_attention is for SAM's ViT-H, -L and -B, not for a {type(encoder).__name__}"
        )
    for block, layer in zip(blocks, layers, strict=True):
        block.attn = FusedAttention(layer)


def compile_encoder(encoder: nn.Module, compiled: Compiled) -> None:
    """Run an image encoder through `torch.compile` from now on.

    Args:
        encoder: called with one image at a time, always of the same size.
        compiled: True, or "reduce-overhead" to also replay its kernels as CUDA graphs. Graphs help
            if the GPU would wait for launches: with a small encoder or a slow processor, hardly
            with ViT-H. They hold GPU memory of their own, make the first images slower still, and
            allow calls from one thread only. Without a GPU they change nothing. Not yet tried on a
            GPU.

    Raises:
        ValueError: `compiled` has another value.
    """
    if compiled not in (True, "reduce-overhead"):
        raise ValueError(f"compiled must be true, false or 'reduce-overhead', got {compiled!r}")
    encoder.compile(mode=None if compiled is True else compiled)  # type: ignore[no-untyped-call]
