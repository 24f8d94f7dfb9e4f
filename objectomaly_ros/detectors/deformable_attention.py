"""Multi-scale deformable attention (arXiv 2010.04159, eq. 3), the slow part of the pixel decoder.

Every query samples a few points of every feature level, between pixels. On the CPU this is one
weighted sum of rows: the corners of all points are indices into a table of rows, and bilinear
weight times attention is the weight of a row. The result is that of sampling the maps point by
point, without storing the samples.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

Shapes = list[tuple[int, int]]


class DeformableAttention(nn.Module):
    """Replaces the attention of an encoder layer; parameters have the names of transformers.

    Args:
        width: channels.
        heads: attention heads.
        levels: feature levels.
        points: samples per level and head.
    """

    def __init__(self, width: int, heads: int, levels: int, points: int) -> None:
        super().__init__()
        self._heads, self._levels, self._points = heads, levels, points
        self.sampling_offsets = nn.Linear(width, heads * levels * points * 2)
        self.attention_weights = nn.Linear(width, heads * levels * points)
        self.value_proj = nn.Linear(width, width)
        self.output_proj = nn.Linear(width, width)

    def forward(
        self,
        hidden_states: torch.Tensor,
        *,
        encoder_hidden_states: torch.Tensor,
        position_embeddings: torch.Tensor,
        reference_points: torch.Tensor,
        spatial_shapes_list: Shapes,
        **_unused: object,
    ) -> tuple[torch.Tensor, None]:
        """Return the attention of each query, (B, Q, C), and None for the weights.

        Args:
            hidden_states: the queries, (B, Q, C).
            encoder_hidden_states: the pixels of all levels, one level after the other, (B, S, C).
            position_embeddings: added to the queries, (B, Q, C).
            reference_points: position of each query, (B, Q, levels, 2) as x, y in 0..1.
            spatial_shapes_list: (height, width) of every level.
        """
        queries = hidden_states + position_embeddings
        batch, count, width = queries.shape
        grid = (batch, count, self._heads, self._levels, self._points)
        values = self.value_proj(encoder_hidden_states)
        values = values.view(batch, -1, self._heads, width // self._heads)
        sizes = torch.tensor([(w, h) for h, w in spatial_shapes_list], device=queries.device)
        offsets = self.sampling_offsets(queries).view(*grid, 2) / sizes[:, None]
        places = reference_points[:, :, None, :, None] + offsets
        weights = self.attention_weights(queries).view(batch, count, self._heads, -1)
        weights = weights.softmax(-1).view(grid)
        # Half precision is too coarse for positions: sampling is always float32.
        read = sampled if queries.device.type == "cpu" else sampled_by_grid
        out = read(values.float(), spatial_shapes_list, places.float(), weights.float())
        return self.output_proj(out), None


def sampled(
    values: torch.Tensor, shapes: Shapes, places: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Return the weighted sum of the values at `places`; values outside a map are zero.

    Args:
        values: (B, S, heads, C), the pixels of all levels, one level after the other.
        shapes: (height, width) of every level.
        places: (B, Q, heads, levels, points, 2), x and y in 0..1.
        weights: (B, Q, heads, levels, points).

    Returns:
        (B, Q, heads * C).
    """
    batch, length, heads, channels = values.shape
    count = places.shape[1]
    rows, amounts = [], []
    start = 0
    for level, (height, width) in enumerate(shapes):
        x = places[:, :, :, level, :, 0] * width - 0.5
        y = places[:, :, :, level, :, 1] * height - 0.5
        left, top = x.floor(), y.floor()
        right_part, lower_part = x - left, y - top
        for column, across in ((left, 1 - right_part), (left + 1, right_part)):
            for row, down in ((top, 1 - lower_part), (top + 1, lower_part)):
                inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
                index = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
                rows.append(index.to(torch.int32) + start)
                amounts.append(across * down * weights[:, :, :, level] * inside)
        start += height * width
    # One table of rows for all heads: row r of head h of image b is (b * S + r) * heads + h.
    index = torch.cat(rows, -1) * heads
    index += torch.arange(heads, dtype=torch.int32, device=index.device)[:, None]
    index += (
        torch.arange(batch, dtype=torch.int32, device=index.device).view(-1, 1, 1, 1)
        * length
        * heads
    )
    summed = F.embedding_bag(
        index.flatten(0, 2),
        values.reshape(-1, channels),
        per_sample_weights=torch.cat(amounts, -1).flatten(0, 2),
        mode="sum",
    )
    return summed.view(batch, count, heads * channels)


def sampled_by_grid(
    values: torch.Tensor, shapes: Shapes, places: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Do the same as `sampled` by `grid_sample`, level by level: faster on a GPU."""
    batch, _, heads, channels = values.shape
    count = places.shape[1]
    sizes = [h * w for h, w in shapes]
    total = values.new_zeros(batch * heads, channels, count)
    for level, maps in enumerate(torch.split(values, sizes, dim=1)):
        images = maps.permute(0, 2, 3, 1).reshape(batch * heads, channels, *shapes[level])
        grid = (2 * places[:, :, :, level] - 1).transpose(1, 2).flatten(0, 1)
        read = F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
        amounts = weights[:, :, :, level].transpose(1, 2).flatten(0, 1)
        total += torch.einsum("bcqp,bqp->bcq", read, amounts)
    return total.view(batch, heads * channels, count).transpose(1, 2)
