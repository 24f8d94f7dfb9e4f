"""The network of the embedded detector: classes and outliers of a street, at stride 2.

A dense bottleneck encoder (residual bottlenecks after He et al., CVPR 2016; dense 3x3
convolutions, since depthwise ones are slower on a CPU) with a top-down decoder after feature
pyramids (Lin et al., CVPR 2017), and one output layer for class logits and the outlier logit.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
ROAD = CLASSES.index("road")


@dataclass(frozen=True)
class NetConfig:
    """Widths and depths; stored with the weights, so that a checkpoint builds its own network.

    Attributes:
        widths: channels at stride 2, 4, 8, 16 and 32.
        depths: bottleneck blocks at stride 4, 8, 16 and 32.
        decoder: channels of the decoder at stride 4 and coarser.
    """

    widths: tuple[int, int, int, int, int] = (24, 48, 96, 160, 256)
    depths: tuple[int, int, int, int] = (1, 4, 9, 5)
    decoder: int = 48

    def as_dict(self) -> dict[str, object]:
        """Return the fields as plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> NetConfig:
        """Build from the result of `as_dict`, with lists for tuples.

        Raises:
            TypeError, ValueError: it is no such result, or describes a huge network.
        """
        config = cls(tuple(fields["widths"]), tuple(fields["depths"]), fields["decoder"])
        limits = [(size, 1024) for size in (*config.widths, config.decoder)]
        limits += [(depth, 32) for depth in config.depths]
        fine = (isinstance(size, int) and 0 < size <= limit for size, limit in limits)
        if not all(fine) or len(config.widths) != len(config.depths) + 1:
            raise ValueError(f"{config}: widths must be 1 to 1024, depths 1 to 32")
        return config


class ConvNorm(nn.Module):
    """Convolution, batch normalisation and (unless `act` is false) ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        dilation: int = 1,
        act: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs,
            outputs,
            kernel,
            stride,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            bias=False,
        )
        self.norm: nn.Module = nn.BatchNorm2d(outputs)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, ceil(H/stride), ceil(W/stride))."""
        x = self.norm(self.conv(x))
        return F.relu(x, inplace=True) if self.act else x

    def fuse(self) -> None:
        """Fold the normalisation into the convolution; for inference only."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


class Bottleneck(nn.Module):
    """Residual bottleneck: 1x1 down, 3x3, 1x1 up."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        middle = channels // 2
        self.layers = nn.Sequential(
            ConvNorm(channels, middle, 1),
            ConvNorm(middle, middle, 3, dilation=dilation),
            ConvNorm(middle, channels, 1, act=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to the same shape."""
        return F.relu(x + self.layers(x), inplace=True)


class EmbeddedNet(nn.Module):
    """Maps (B, 3, H, W) float images in [0, 1] to class and outlier logits.

    `forward` returns (B, len(CLASSES) + 1, ceil(H/2), ceil(W/2)); the last channel is the outlier
    logit. `enlarge` doubles a map's resolution.
    """

    def __init__(self, config: NetConfig | None = None) -> None:
        super().__init__()
        self.config = config or NetConfig()
        widths, depths = self.config.widths, self.config.depths
        decoder = self.config.decoder
        self.stem = ConvNorm(3, widths[0], 3, stride=2)
        stages = []
        for index, depth in enumerate(depths):
            # Dilation 2 in every second block at stride 16 and 32 widens the view cheaply.
            dilations = [2 if index >= 2 and block % 2 else 1 for block in range(depth)]
            stages.append(
                nn.Sequential(
                    ConvNorm(widths[index], widths[index + 1], 3, stride=2),
                    *(Bottleneck(widths[index + 1], dilation) for dilation in dilations),
                )
            )
        self.stages = nn.ModuleList(stages)
        self.laterals = nn.ModuleList(ConvNorm(w, decoder, 1, act=False) for w in widths[1:])
        self.smooth = nn.ModuleList(ConvNorm(decoder, decoder, 3) for _ in widths[1:-1])
        self.reduce = ConvNorm(decoder, widths[0], 1, act=False)
        self.last = ConvNorm(widths[0], widths[0], 3)
        self.output = nn.Conv2d(widths[0], len(CLASSES) + 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map images to logits; see the class for the shapes."""
        fine = self.stem((x - 0.45) * 4.0)
        features = []
        y = fine
        for stage in self.stages:
            y = stage(y)
            features.append(y)
        y = self.laterals[-1](features[-1])
        for index in range(len(features) - 2, -1, -1):
            side = self.laterals[index](features[index])
            y = self.smooth[index](F.relu(side + enlarge(y, side), inplace=True))
        y = F.relu(fine + enlarge(self.reduce(y), fine), inplace=True)
        logits: Tensor = self.output(self.last(y))
        return logits

    def fuse(self) -> EmbeddedNet:
        """Fold every normalisation into its convolution, in place; for inference only."""
        self.eval()
        for module in self.modules():
            if isinstance(module, ConvNorm):
                module.fuse()
        return self


def enlarge(x: Tensor, like: Tensor) -> Tensor:
    """Double the resolution of `x`, cropped to the height and width of `like`.

    Doubling and cropping, rather than resizing to the wanted size, keeps positions the same
    whether or not a side is even at every stride.
    """
    doubled = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    return doubled[..., : like.shape[-2], : like.shape[-1]]
