"""Mask2Anomaly's global mask attention: every query looks at its foreground and at its background,
separately.
"""

from __future__ import annotations

import torch
from torch import nn


class GlobalMaskAttention(nn.Module):
    """Stands in a decoder layer's place for masked cross-attention (Mask2Anomaly, arXiv 2307.13316,
    section 3.2).

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
        """Return the sum of what the two attentions read, (Q, B, C), and None in the weights'
        place.

        Args:
            query: (Q, B, C).
            key: (S, B, C).
            value: (S, B, C).
            attn_mask: (B * heads, Q, S) bool, True where the foreground attention must not look; a
                query with no foreground at all comes with a row of False and looks everywhere.
            key_padding_mask: must be None; the networks here never mask padding.
        """
        hidden = ~attn_mask
        # A row that hides everything would make the softmax 0/0: such a query looks everywhere.
        hidden &= ~hidden.all(-1, keepdim=True)
        return (
            self.foreground(query, key, value, attn_mask=attn_mask, need_weights=False)[0]
            + self.background(query, key, value, attn_mask=hidden, need_weights=False)[0]
        ), None
