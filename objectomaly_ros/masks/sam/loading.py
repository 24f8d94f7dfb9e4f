"""Loads SAM's published checkpoints."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from segment_anything import sam_model_registry
from torch import nn

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.names import canonical, check_owner, complain
from objectomaly_ros.checkpoints.reading import read_tensors
from objectomaly_ros.detectors.devices import device_of
from objectomaly_ros.masks.sam.generator import SamMasks


def load_weights(network: nn.Module, checkpoint: str | Path | None, name: str) -> None:
    """Load a checkpoint of SAM, or of a network built of its parts, as published.

    Args:
        network: its parameters and buffers are replaced.
        checkpoint: the file.
        name: the mask generator's name, for messages.

    Raises:
        CheckpointError: no file, an unsafe or damaged one, another network's, or tensors that are
            missing, have another shape, or are left over.
    """
    if checkpoint is None:
        raise CheckpointError(
            f"{name} needs its weights: `objectomaly checkpoints download {name}` gets them; then "
            "give the file's path as checkpoint"
        )
    tensors = canonical(read_tensors(checkpoint))
    check_owner("sam", tensors, str(checkpoint))
    expected = network.state_dict()
    missing = [key for key in expected if key not in tensors]
    extra = [key for key in tensors if key not in expected]
    misshaped = [
        f"{key} {list(tensors[key].shape)} instead of {list(tensor.shape)}"
        for key, tensor in expected.items()
        if key in tensors and tensors[key].shape != tensor.shape
    ]
    complain(str(checkpoint), missing, misshaped, extra)
    network.load_state_dict(
        {key: tensors[key].to(tensor.dtype, copy=True) for key, tensor in expected.items()},
        assign=True,
    )


def load_sam(
    name: str, checkpoint: str | Path | None = None, device: str = "cpu", **options: Any
) -> SamMasks:
    """Build the generator `name`, sam_vit_h, sam_vit_l or sam_vit_b, from its published file."""
    where = device_of(device)
    sam = sam_model_registry[name.removeprefix("sam_")]()
    load_weights(sam, checkpoint, name)
    return SamMasks(sam.to(where), **options)


sam_vit_h = partial(load_sam, "sam_vit_h")
sam_vit_l = partial(load_sam, "sam_vit_l")
sam_vit_b = partial(load_sam, "sam_vit_b")
