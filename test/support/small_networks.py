"""Reproducible weights for small networks, under the names of the authors' files."""

import zlib
from dataclasses import replace

import numpy as np
import torch

from tools.gpu.tiny import ARCHITECTURES

# Where full-size networks run in half precision: device and options; None where it takes hours.
HALF_DEVICE = (
    {"device": "cuda", "precision": "float16"}
    if torch.cuda.is_available()
    else {"device": "cpu", "precision": "bfloat16"}
    if torch.ops.mkldnn._is_mkldnn_bf16_supported()
    else None
)


def value(name, shape):
    """Return a reproducible tensor for an official name; scales keep the outputs varied."""
    noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("running_var"):
        values = 1 + 0.1 * abs(noise)
    elif name.endswith("class_embed.weight"):
        values = 6 * noise / np.sqrt(shape[1])
    elif "sampling_offsets.bias" in name or "query" in name or "level_embed" in name:
        values = noise
    elif len(shape) > 1:
        values = np.sqrt(2 / np.prod(shape[1:])) * noise
    else:
        values = 0.1 * noise + (1 if name.endswith("weight") else 0)
    return torch.from_numpy(values.astype(np.float32))


def official_tensors(network):
    """Return name -> tensor as in the authors' file of this network."""
    from objectomaly_ros.detectors.name_conversion import official_name

    shapes = {}
    for name, tensor in network.state_dict().items():
        if "swin.layernorm" in name:
            continue
        official, part = official_name(name)
        rows = [] if not tensor.ndim else [tensor.shape[0] * (1 if part is None else 3)]
        shapes[official] = [*rows, *tensor.shape[1:]]
    return {
        name: torch.tensor(5) if name.endswith("num_batches_tracked") else value(name, shape)
        for name, shape in shapes.items()
    }


def mask2anomaly(checkpoint, device, **options):
    """The detector, but for the size of its network; for `detector.name` of the node."""
    from objectomaly_ros.detectors import mask_classification

    recipes = mask_classification.RECIPES
    recipe = recipes["mask2anomaly"]
    recipes["mask2anomaly"] = replace(recipe, architectures=(ARCHITECTURES["mask2anomaly"],))
    try:
        return mask_classification.mask2anomaly(checkpoint, device, **options)
    finally:
        recipes["mask2anomaly"] = recipe
