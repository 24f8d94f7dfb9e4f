"""The image encoder of MobileSAM: TinyViT-5M with SAM's neck.

TinyViT (Wu et al., ECCV 2022, arXiv 2207.10666) as MobileSAM (Zhang et al., arXiv 2306.14289) runs
it: three strides of 2 after the stem become two, so that the embedding keeps SAM's stride of 16.
Attributes are named so that the tensors of `mobile_sam.pt` load as they are.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from segment_anything.modeling.common import LayerNorm2d
from torch import nn
from torch.nn import functional as F

_WIDTHS = (64, 128, 160, 320)
_DEPTHS = (2, 2, 6, 2)
_HEADS = (2, 4, 5, 10)
_WINDOWS = (7, 7, 14, 7)
_STRIDES = (2, 2, 1)  # between the stages
_EXPANSION = 4
EMBEDDING = 256


class TinyViT(nn.Module):
    """Images in, SAM's image embeddings out.

    Args:
        img_size: side of the square that images are padded to, pixels; SAM reads it by this name.
        widths: channels of the four stages; those of TinyViT-5M by default, as are the others.
        depths: blocks of each.
        heads: attention heads of each; the first stage has none.
    """

    def __init__(
        self,
        img_size: int = 1024,
        widths: tuple[int, int, int, int] = _WIDTHS,
        depths: tuple[int, int, int, int] = _DEPTHS,
        heads: tuple[int, int, int, int] = _HEADS,
    ) -> None:
        super().__init__()
        self.img_size = img_size
        self.patch_embed = _Stem(widths[0])
        self.layers = nn.ModuleList(
            _Stage(
                [
                    _InvertedBottleneck(widths[stage])
                    if stage == 0
                    else _Block(widths[stage], heads[stage], _WINDOWS[stage])
                    for _ in range(depths[stage])
                ],
                _Merging(widths[stage], widths[stage + 1], _STRIDES[stage]) if stage < 3 else None,
            )
            for stage in range(4)
        )
        self.neck = nn.Sequential(
            nn.Conv2d(widths[3], EMBEDDING, 1, bias=False),
            LayerNorm2d(EMBEDDING),
            nn.Conv2d(EMBEDDING, EMBEDDING, 3, padding=1, bias=False),
            LayerNorm2d(EMBEDDING),
        )
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (B, 256, H/16, W/16) embeddings.

        Args:
            images: (B, 3, H, W) normalised, H and W multiples of 16.
        """
        features: torch.Tensor = self.patch_embed(images)
        for stage in self.layers:
            features = stage(features)
        embeddings: torch.Tensor = self.neck(features)
        return embeddings


class _Stem(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(
            _conv_norm(3, width // 2, 3, stride=2), nn.GELU(), _conv_norm(width // 2, width, 3, 2)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.seq(images)
        return features


class _Stage(nn.Module):
    """Blocks, then the step to the next stage; maps are (B, C, H, W)."""

    def __init__(self, blocks: list[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            features = block(features)
        return features if self.downsample is None else self.downsample(features)


class _InvertedBottleneck(nn.Module):
    """Widen, filter each channel, narrow; the sum with the input is activated (MBConv)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        wide = _EXPANSION * width
        self.conv1 = _conv_norm(width, wide, 1)
        self.conv2 = _conv_norm(wide, wide, 3, groups=wide)
        self.conv3 = _conv_norm(wide, width, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        wide = F.gelu(self.conv2(F.gelu(self.conv1(features))))
        return F.gelu(features + self.conv3(wide))


class _Merging(nn.Module):
    """Changes width and, by `stride`, resolution."""

    def __init__(self, width: int, target: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv_norm(width, target, 1)
        self.conv2 = _conv_norm(target, target, 3, stride, groups=target)
        self.conv3 = _conv_norm(target, target, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        merged: torch.Tensor = self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(features)))))
        return merged


class _Block(nn.Module):
    """Attention within windows, a depthwise convolution across them, and an MLP."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = _WindowAttention(width, heads, window)
        self.local_conv = _conv_norm(width, width, 3, groups=width)
        self.mlp = nn.Sequential(
            OrderedDict(
                norm=nn.LayerNorm(width),
                fc1=nn.Linear(width, _EXPANSION * width),
                act=nn.GELU(),
                fc2=nn.Linear(_EXPANSION * width, width),
            )
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        tokens = features.permute(0, 2, 3, 1)
        tokens = tokens + self._attend(tokens)
        local: torch.Tensor = self.local_conv(tokens.permute(0, 3, 1, 2))
        tokens = local.permute(0, 2, 3, 1)
        mixed: torch.Tensor = self.mlp(tokens)
        return (tokens + mixed).permute(0, 3, 1, 2)

    def _attend(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return attention over (B, H, W, C) tokens; windows at the far edges hold zeros too,
        which take part, as they did in training.
        """
        batch, height, width, channels = tokens.shape
        side = self.window
        rows, columns = -(-height // side), -(-width // side)
        padded = F.pad(tokens, (0, 0, 0, columns * side - width, 0, rows * side - height))
        windows = padded.view(batch, rows, side, columns, side, channels).transpose(2, 3)
        attended: torch.Tensor = self.attn(windows.reshape(-1, side * side, channels))
        attended = attended.view(batch, rows, columns, side, side, channels).transpose(2, 3)
        attended = attended.reshape(batch, rows * side, columns * side, channels)
        return attended[:, :height, :width]


class _WindowAttention(nn.Module):
    """Multi-head attention with a learned bias for each distance |dy|, |dx| within the window."""

    distances: torch.Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        self.register_buffer("distances", _distances(window), persistent=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return (B, N, C) for (B, N, C), N the places of one window."""
        batch, places, width = tokens.shape
        # The tensor keeps each head's query, key and value together.
        qkv = self.qkv(self.norm(tokens)).view(batch, places, self.heads, 3, -1)
        query, key, value = qkv.permute(3, 0, 2, 1, 4).unbind(0)
        bias = self.attention_biases[:, self.distances].to(query.dtype)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        mixed: torch.Tensor = self.proj(attended.transpose(1, 2).reshape(batch, places, width))
        return mixed


def _distances(window: int) -> torch.Tensor:
    """Return for each pair of places in a window which bias applies, (N, N) int64.

    The published order: |dy|, |dx| numbered as they first appear seen from the first place, which
    is row by row.
    """
    place = torch.arange(window)
    y, x = torch.meshgrid(place, place, indexing="ij")
    y, x = y.reshape(-1), x.reshape(-1)
    return (y[:, None] - y).abs() * window + (x[:, None] - x).abs()


def _conv_norm(
    channels: int, target: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    convolution = nn.Conv2d(
        channels, target, kernel, stride, kernel // 2, groups=groups, bias=False
    )
    return nn.Sequential(OrderedDict(c=convolution, bn=nn.BatchNorm2d(target)))
