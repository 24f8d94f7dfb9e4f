"""The network of the embedded detector: classes and outliers of a street, at stride 2.

The encoder is EfficientNet-Lite0 (Tan and Le, ICML 2019; Lite variants by Liu, 2020) up to its
block 14, as trained on ImageNet. A top-down decoder after feature pyramids (Lin et al., CVPR 2017)
follows, and one output layer for class logits and the outlier logit.
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
STEM = 32
# Kernel, stride, expansion and channels of each encoder block.
BLOCKS = (
    (3, 1, 1, 16),
    *((3, stride, 6, 24) for stride in (2, 1)),
    *((5, stride, 6, 40) for stride in (2, 1)),
    *((3, stride, 6, 80) for stride in (2, 1, 1)),
    *((5, 1, 6, 112) for _ in range(3)),
    *((5, stride, 6, 192) for stride in (2, 1, 1, 1)),
)
TAPS = (0, 2, 4, 10, 14)
"""The blocks whose outputs the decoder takes: stride 2, 4, 8, 16 and 32."""


@dataclass(frozen=True)
class NetConfig:
    """Widths of the decoder; stored with the weights, so that a checkpoint builds its own network.

    Attributes:
        decoder: channels of the decoder at stride 4 and coarser.
        fine: channels of the decoder at stride 2.
    """

    decoder: int = 64
    fine: int = 16

    def as_dict(self) -> dict[str, object]:
        """Return the fields as plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> NetConfig:
        """Build from the result of `as_dict`.

        Raises:
            TypeError, ValueError: it is no such result, or describes a huge network.
        """
        config = cls(**fields)
        for size in (config.decoder, config.fine):
            if not isinstance(size, int) or not 0 < size <= 1024:
                raise ValueError(f"{config}: widths must be 1 to 1024")
        return config


class StridedConv(nn.Conv2d):
    """Convolution with stride 2 that pads an even side as TensorFlow does: less at its start.

    The encoder was trained that way. It maps a side of n to ceil(n / 2).
    """

    @property
    def margins(self) -> tuple[int, int]:
        """Return the padding before and after a side."""
        # One more than TensorFlow's after an even side, where it is not reached.
        before = (self.kernel_size[0] - 2) // 2
        return before, before + 2

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, outputs, ceil(H/2), ceil(W/2))."""
        return super().forward(F.pad(x, self.margins * 2))


class ConvNorm(nn.Module):
    """Convolution, batch normalisation and an activation: "relu", "relu6" or "none"."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        act: str = "relu",
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        padding = 0 if stride == 2 else kernel // 2
        kind = StridedConv if stride == 2 else nn.Conv2d
        self.conv = kind(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs, eps=eps)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, ceil(H/stride), ceil(W/stride))."""
        x = self.norm(self.conv(x))
        if self.act == "none":
            return x
        return F.relu6(x) if self.act == "relu6" else F.relu(x)

    def fuse(self) -> None:
        """Fold the normalisation into the convolution; for inference only."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


class InvertedResidual(nn.Module):
    """Inverted residual (Sandler et al., CVPR 2018): 1x1 up, depthwise, 1x1 down."""

    def __init__(self, inputs: int, kernel: int, stride: int, expansion: int, outputs: int) -> None:
        super().__init__()
        middle = inputs * expansion
        layers = []
        if expansion > 1:
            layers.append(ConvNorm(inputs, middle, 1, act="relu6", eps=1e-3))
        layers.append(ConvNorm(middle, middle, kernel, stride, middle, "relu6", 1e-3))
        layers.append(ConvNorm(middle, outputs, 1, act="none", eps=1e-3))
        self.layers = nn.Sequential(*layers)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, ceil(H/stride), ceil(W/stride))."""
        y: Tensor = self.layers(x)
        return x + y if self.skip else y


class Encoder(nn.Module):
    """EfficientNet-Lite0 up to block 14."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, STEM, 3, 2, act="relu6", eps=1e-3)
        inputs = [STEM, *(outputs for *_, outputs in BLOCKS[:-1])]
        self.blocks = nn.ModuleList(
            InvertedResidual(width, *block) for width, block in zip(inputs, BLOCKS, strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W) images in [0, 1] to the outputs of `TAPS`, finest first."""
        y = self.stem((x - 127 / 255) * (255 / 128))
        found = []
        for index, block in enumerate(self.blocks):
            y = block(y)
            if index in TAPS:
                found.append(y)
        return found


class EmbeddedNet(nn.Module):
    """Maps (B, 3, H, W) float images in [0, 1] to class and outlier logits.

    `forward` returns (B, len(CLASSES) + 1, ceil(H/2), ceil(W/2)); the last channel is the outlier
    logit.
    """

    def __init__(self, config: NetConfig | None = None) -> None:
        super().__init__()
        self.config = config or NetConfig()
        decoder, fine = self.config.decoder, self.config.fine
        self.encoder = Encoder()
        widths = [BLOCKS[tap][-1] for tap in TAPS]
        self.laterals = nn.ModuleList(
            ConvNorm(width, fine if index == 0 else decoder, 1, act="none")
            for index, width in enumerate(widths)
        )
        self.smooth = nn.ModuleList(ConvNorm(decoder, decoder) for _ in widths[1:-1])
        self.reduce = ConvNorm(decoder, fine, 1, act="none")
        self.last = ConvNorm(fine, fine)
        self.output = nn.Conv2d(fine, len(CLASSES) + 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map images to logits; see the class for the shapes."""
        return self.forward_with_features(x)[0]

    def forward_with_features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map images to logits and to the encoder's features at stride 8 and 16.

        Returns:
            logits, see the class; (B, 40, ceil(H/8), ceil(W/8)); (B, 112, ceil(H/16), ceil(W/16)).
        """
        features = self.encoder(x)
        return self.decode(features), features[2], features[3]

    def decode(self, features: list[Tensor]) -> Tensor:
        """Map the encoder's features to logits."""
        y = self.laterals[-1](features[-1])
        for index in range(len(features) - 2, 0, -1):
            side = self.laterals[index](features[index])
            y = self.smooth[index - 1](F.relu(side + enlarge(y, side)))
        side = self.laterals[0](features[0])
        y = F.relu(side + enlarge(self.reduce(y), side))
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
