"""The sizes of the mask-classification networks of the supported checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Architecture:
    """A Mask2Former for semantic segmentation (arXiv 2112.01527).

    Attributes:
        backbone: `resnet` (bottlenecks, stride in the 3x3) or `swin`.
        width: channels after the stem: 64 for ResNet-50, 128 for Swin-B, 192 for Swin-L.
        depths: blocks a stage.
        heads: attention heads a stage (Swin only).
        window: side of the attention window (Swin only).
        classes: known classes, without "no object".
        decoder_layers: transformer decoder layers.
        levels: feature levels of deformable attention and decoder: 3, or 1 in RbA.
        two_sided: global mask attention (Mask2Anomaly) instead of masked attention.
        hidden: channels of the pixel decoder, the queries and the masks.
        queries: number of masks.
        encoder_layers: layers of deformable attention.
        encoder_feedforward: hidden channels of their feed-forward blocks.
        decoder_feedforward: hidden channels of the decoder's feed-forward blocks.
        attention_heads: heads of encoder and decoder.
    """

    backbone: Literal["resnet", "swin"]
    width: int
    depths: tuple[int, int, int, int]
    heads: tuple[int, int, int, int] | None = None
    window: int = 12
    classes: int = 19
    decoder_layers: int = 9
    levels: Literal[1, 3] = 3
    two_sided: bool = False
    hidden: int = 256
    queries: int = 100
    encoder_layers: int = 6
    encoder_feedforward: int = 1024
    decoder_feedforward: int = 2048
    attention_heads: int = 8


MASK2ANOMALY = Architecture("resnet", 64, (3, 4, 6, 3), two_sided=True)
SWIN_L = Architecture("swin", 192, (2, 2, 18, 2), (6, 12, 24, 48))
UNO = Architecture("swin", 192, (2, 2, 18, 2), (6, 12, 24, 48), classes=20)
RBA_SWIN_B = Architecture("swin", 128, (2, 2, 18, 2), (4, 8, 16, 32), decoder_layers=1, levels=1)
RBA_SWIN_L = Architecture("swin", 192, (2, 2, 18, 2), (6, 12, 24, 48), decoder_layers=1, levels=1)
