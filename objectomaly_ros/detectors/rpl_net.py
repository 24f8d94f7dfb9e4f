"""The network of RPL: DeepLabV3+ on WideResNet-38, and a residual block that learns anomaly.

Residual Pattern Learning (Liu et al., ICCV 2023, arXiv 2211.14512). Attributes have the names of
the authors' tensors.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

_DILATIONS = (12, 24, 36)


class RplNetwork(nn.Module):
    """Maps images to closed-set logits and anomaly logits.

    Args:
        width: channels of the first convolution, 64 as published; all others follow from it.
        classes: known classes.
    """

    def __init__(self, width: int = 64, classes: int = 19) -> None:
        super().__init__()
        self.branch1 = _Branch(width, classes)
        self.eval()

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return two logits (B, classes, H, W): of the closed set, and with the residual.

        Args:
            images: (B, 3, H, W), normalised, with sides of at least 8 pixels.
        """
        vanilla, anomaly = self.branch1(images)
        size = images.shape[2:]
        return _enlarge(vanilla, size), _enlarge(anomaly, size)


class _Branch(nn.Module):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        features, fine = 4 * width, 3 * width // 4
        self.mod1 = nn.Sequential(OrderedDict(conv1=_conv(3, width, 3)))
        self.mod2 = _blocks(3, width, (2 * width, 2 * width))
        self.mod3 = _blocks(3, 2 * width, (4 * width, 4 * width))
        self.mod4 = _blocks(6, 4 * width, (8 * width, 8 * width), stride=2)
        self.mod5 = _blocks(3, 8 * width, (8 * width, 16 * width), dilation=2)
        self.mod6 = _blocks(1, 16 * width, (8 * width, 16 * width, 32 * width), dilation=4)
        self.mod7 = _blocks(1, 32 * width, (16 * width, 32 * width, 64 * width), dilation=4)
        self.residual_block = _ResidualBlock(64 * width, features, features + fine)
        self.aspp = _Pyramid(64 * width, features)
        self.bot_fine = _conv(2 * width, fine, 1)
        self.bot_aspp = _conv(5 * features, features, 1)
        self.final = nn.Sequential(
            _conv(features + fine, features, 3),
            *_norm_and_relu(features),
            _conv(features, features, 3),
            *_norm_and_relu(features),
            _conv(features, classes, 1),
        )

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both logits at half the images' size."""
        half = self.mod2(_pool(self.mod1(images)))
        deep = self.mod7(self.mod6(self.mod5(self.mod4(self.mod3(_pool(half))))))
        size = half.shape[2:]
        context = _enlarge(self.bot_aspp(self.aspp(deep)), size)
        decoded = torch.cat([self.bot_fine(half), context], 1)
        return self.final(decoded), self.final(decoded + self.residual_block(deep, size))


class _ResidualBlock(nn.Module):
    """The residual of the decoded features that takes the class from anomalies."""

    def __init__(self, channels: int, features: int, decoded: int) -> None:
        super().__init__()
        self.atten_aspp = _Pyramid(channels, features)
        self.bot_atten_aspp = _conv(5 * features, features, 1)
        self.atten_aspp_final = _conv(features, decoded, 1)

    def forward(self, deep: torch.Tensor, size: torch.Size) -> torch.Tensor:
        context = _enlarge(self.bot_atten_aspp(self.atten_aspp(deep)), size)
        residual: torch.Tensor = self.atten_aspp_final(context)
        return residual


class _Pyramid(nn.Module):
    """Atrous spatial pyramid pooling; the image's mean comes first in the result."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.features = nn.ModuleList(
            nn.Sequential(
                _conv(channels, features, 1 if d == 1 else 3, d), *_norm_and_relu(features)
            )
            for d in (1, *_DILATIONS)
        )
        self.img_conv = nn.Sequential(_conv(channels, features, 1), *_norm_and_relu(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = self.img_conv(F.adaptive_avg_pool2d(x, 1)).expand(-1, -1, *x.shape[2:])
        return torch.cat([mean, *(branch(x) for branch in self.features)], 1)


class _Block(nn.Module):
    """A pre-activation residual block: two 3x3 convolutions, or a bottleneck of three."""

    def __init__(self, before: int, channels: tuple[int, ...], stride: int, dilation: int) -> None:
        super().__init__()
        self.bn1 = nn.Sequential(*_norm_and_relu(before))
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        inputs = (before, *channels[:-1])
        for index, (entering, leaving) in enumerate(zip(inputs, channels, strict=True), 1):
            if index > 1:
                layers[f"bn{index}"] = nn.Sequential(*_norm_and_relu(entering))
            kernel = 1 if len(channels) == 3 and index != 2 else 3
            layers[f"conv{index}"] = _conv(
                entering,
                leaving,
                kernel,
                dilation if kernel == 3 else 1,
                stride if index == 1 else 1,
            )
        self.convs = nn.Sequential(layers)
        if stride != 1 or before != channels[-1]:
            self.proj_conv = _conv(before, channels[-1], 1, stride=stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = self.bn1(x)
        shortcut = self.proj_conv(active) if hasattr(self, "proj_conv") else x
        out: torch.Tensor = self.convs(active) + shortcut
        return out


def _blocks(
    count: int, before: int, channels: tuple[int, ...], *, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    for index in range(count):
        first = index == 0
        blocks[f"block{index + 1}"] = _Block(
            before if first else channels[-1], channels, stride if first else 1, dilation
        )
    return nn.Sequential(blocks)


def _conv(
    entering: int, leaving: int, kernel: int, dilation: int = 1, stride: int = 1
) -> nn.Conv2d:
    padding = dilation * (kernel // 2)
    return nn.Conv2d(entering, leaving, kernel, stride, padding, dilation, bias=False)


def _norm_and_relu(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(channels), nn.ReLU(inplace=True)


def _pool(x: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(x, 3, stride=2, padding=1)


def _enlarge(x: torch.Tensor, size: torch.Size) -> torch.Tensor:
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=True)
