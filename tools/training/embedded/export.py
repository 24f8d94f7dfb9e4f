"""Export of trained weights: safetensors, with the network's shape and figures as metadata."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save

from objectomaly_ros.detectors.embedded import FORMAT
from objectomaly_ros.detectors.embedded_net import EmbeddedNet
from objectomaly_ros.files.writing import open_replacing


def export(net: EmbeddedNet, path: Path, meta: dict[str, object]) -> None:
    """Write the weights, kernels as float16 and the rest as float32, with JSON metadata."""
    tensors = {}
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            dtype = torch.float16 if value.ndim == 4 else torch.float32
            tensors[name] = value.detach().to("cpu", dtype).contiguous().clone()
    texts = {"format": FORMAT, "config": json.dumps(net.config.as_dict())}
    texts |= {key: json.dumps(value) for key, value in meta.items()}
    with open_replacing(path) as file:
        file.write(save(tensors, texts))
