"""The image encoder of MobileSAM: TinyViT-5M with SAM's neck.

TinyViT (Wu et al., ECCV 2022, arXiv 2207.10666) as MobileSAM (Zhang et al., arXiv 2306.14289) runs
it: the last step between stages has stride 1, so that the embedding keeps SAM's stride of 16.
Modules are named so that the tensors of `mobile_sam.pt` load as they are.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.image_encoder import window_partition, window_unpartition
from torch import nn
from torch.nn import functional as F

_WIDTHS = (64, 128, 160, 320)
_DEPTHS = (2, 2, 6, 2)
_HEADS = (2, 4, 5, 10)
_WINDOWS = (7, 7, 14, 7)
_STRIDES = (2, 2, 1)  # between the stages
_EXPANSION = 4
EMBEDDING = 256


class TinyViT(nn.Sequential):
    """Turns (B, 3, H, W) normalised images into (B, 256, H/16, W/16) embeddings.

    H and W are multiples of 16.

    Args:
        img_size: side of the square that images are padded to, pixels; SAM reads it by this name.
        widths: channels of the four stages. The defaults are those of TinyViT-5M.
        depths: blocks of each stage.
        heads: attention heads of each stage; the first stage has no attention.
    """

    def __init__(
        self,
        img_size: int = 1024,
        widths: tuple[int, int, int, int] = _WIDTHS,
        depths: tuple[int, int, int, int] = _DEPTHS,
        heads: tuple[int, int, int, int] = _HEADS,
    ) -> None:
        stem = nn.Sequential(
            _conv_norm(3, widths[0] // 2, 3, stride=2),
            nn.GELU(),
            _conv_norm(widths[0] // 2, widths[0], 3, stride=2),
        )
        stages = []
        for stage, width in enumerate(widths):
            modules: OrderedDict[str, nn.Module] = OrderedDict()
            modules["blocks"] = nn.Sequential(
                *(
                    _Block(width, heads[stage], _WINDOWS[stage])
                    if stage
                    else _InvertedBottleneck(_three_convs(width, _EXPANSION * width, width))
                    for _ in range(depths[stage])
                )
            )
            if stage < 3:
                target, stride = widths[stage + 1], _STRIDES[stage]
                modules["downsample"] = nn.Sequential(_three_convs(width, target, target, stride))
            stages.append(nn.Sequential(modules))
        neck = nn.Sequential(
            nn.Conv2d(widths[3], EMBEDDING, 1, bias=False),
            LayerNorm2d(EMBEDDING),
            nn.Conv2d(EMBEDDING, EMBEDDING, 3, padding=1, bias=False),
            LayerNorm2d(EMBEDDING),
        )
        super().__init__(
            OrderedDict(
                patch_embed=nn.Sequential(OrderedDict(seq=stem)),
                layers=nn.Sequential(*stages),
                neck=neck,
            )
        )
        self.img_size = img_size
        self.eval()


class _InvertedBottleneck(nn.Sequential):
    """Widen, filter each channel, narrow; activate the sum with the input (MBConv)."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        narrow: torch.Tensor = super().forward(features)  # type: ignore[no-untyped-call]
        return F.gelu(features + narrow)


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
        # The zeros that pad windows at the far edges take part, as they did in training.
        windows, padded = window_partition(tokens, self.window)
        attended = window_unpartition(
            self.attn(windows.flatten(1, 2)), self.window, padded, tokens.shape[1:3]
        )
        local: torch.Tensor = self.local_conv((tokens + attended).permute(0, 3, 1, 2))
        mixed: torch.Tensor = self.mlp(local.permute(0, 2, 3, 1))
        return local + mixed.permute(0, 3, 1, 2)


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
        # The published tensor keeps each head's query, key and value together.
        qkv = self.qkv(self.norm(tokens)).view(batch, places, self.heads, 3, -1)
        query, key, value = qkv.permute(3, 0, 2, 1, 4).unbind(0)
        bias = self.attention_biases[:, self.distances].to(query.dtype)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        mixed: torch.Tensor = self.proj(attended.transpose(1, 2).reshape(batch, places, width))
        return mixed


def _distances(window: int) -> torch.Tensor:
    """Return the index of the bias for each pair of places in a window, (N, N) int64.

    In the published order, distances |dy|, |dx| are numbered row by row.
    """
    y, x = torch.unravel_index(torch.arange(window * window), (window, window))
    return (y[:, None] - y).abs() * window + (x[:, None] - x).abs()


def _three_convs(
    channels: int, wide: int, target: int, stride: int = 1
) -> OrderedDict[str, nn.Module]:
    return OrderedDict(
        conv1=_conv_norm(channels, wide, 1),
        act1=nn.GELU(),
        conv2=_conv_norm(wide, wide, 3, stride, groups=wide),
        act2=nn.GELU(),
        conv3=_conv_norm(wide, target, 1),
    )


def _conv_norm(
    channels: int, target: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    convolution = nn.Conv2d(
        channels, target, kernel, stride, kernel // 2, groups=groups, bias=False
    )
    return nn.Sequential(OrderedDict(c=convolution, bn=nn.BatchNorm2d(target)))
