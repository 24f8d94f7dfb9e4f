"""Global mask attention of Mask2Anomaly: queries attend to their foreground and background."""

from __future__ import annotations

import torch
from torch import nn


class GlobalMaskAttention(nn.Module):
    """Replaces the masked cross-attention of a decoder layer (arXiv 2307.13316, section 3.2).

    Args:
        width: channels of queries and features.
        heads: attention heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.foreground = nn.MultiheadAttention(width, heads)
        self.background = nn.MultiheadAttention(width, heads)

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, None]:
        """Return the sum of both attentions, (Q, B, C), and None for the weights.

        Args:
            query: (Q, B, C).
            key: (S, B, C).
            value: (S, B, C).
            attn_mask: (B * heads, Q, S) bool, True for background; all False for a query without
                foreground, which attends to everything.
            key_padding_mask: must be None; the networks here never mask padding.
        """
        hidden = ~attn_mask
        # With everything hidden the softmax would be 0/0: such a query attends to everything.
        hidden &= ~hidden.all(-1, keepdim=True)
        return (
            self.foreground(query, key, value, attn_mask=attn_mask, need_weights=False)[0]
            + self.background(query, key, value, attn_mask=hidden, need_weights=False)[0]
        ), None
