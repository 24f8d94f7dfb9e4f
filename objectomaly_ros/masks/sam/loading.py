"""Loads SAM's published checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from segment_anything import sam_model_registry
from torch import nn

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.names import canonical, check_owner, complain
from objectomaly_ros.checkpoints.reading import read_tensors
from objectomaly_ros.masks.sam.attention import fuse_attention
from objectomaly_ros.masks.sam.compilation import Compiled, compile_encoder
from objectomaly_ros.masks.sam.generator import SamMasks
from objectomaly_ros.masks.sam.guided import Prompting, point_source
from objectomaly_ros.models.devices import device_of
from objectomaly_ros.models.registry import keyword_options, refuse_unknown


def read_weights(checkpoint: str | PathLike[str] | None, name: str) -> dict[str, torch.Tensor]:
    """Read the tensors of a SAM, or of a network built of its parts.

    Args:
        checkpoint: the file, as published.
        name: the mask generator's name, for messages.

    Raises:
        CheckpointError: no file, an unsafe or damaged one, or a detector's.
    """
    if checkpoint is None:
        raise CheckpointError(
            f"{name} needs its weights: `objectomaly checkpoints download {name}` gets them; then "
            "give the file's path as checkpoint"
        )
    tensors = canonical(read_tensors(Path(checkpoint)))
    check_owner("mobile_sam" if name == "mobile_sam" else "sam", tensors, str(checkpoint))
    return tensors


def load_weights(
    network: nn.Module,
    checkpoint: str | PathLike[str] | None,
    name: str,
    *,
    ignored: tuple[str, ...] = (),
) -> None:
    """Load a checkpoint into a network.

    Args:
        network: its parameters and buffers are replaced.
        checkpoint: see `read_weights`, as `name`.
        name: see there.
        ignored: how the names begin of tensors that the file may hold beside the network's.

    Raises:
        CheckpointError: see there; or tensors are missing, have another shape, or are left over.
    """
    assign_weights(network, read_weights(checkpoint, name), str(checkpoint), ignored=ignored)


def assign_weights(
    network: nn.Module,
    tensors: Mapping[str, torch.Tensor],
    source: str,
    *,
    ignored: tuple[str, ...] = (),
) -> None:
    """Replace a network's parameters and buffers; `source` names their file for messages.

    Raises:
        CheckpointError: tensors are missing, have another shape, or are left over.
    """
    expected = network.state_dict()
    missing = [key for key in expected if key not in tensors]
    extra = [key for key in tensors if key not in expected and not key.startswith(ignored)]
    misshaped = [
        f"{key} {list(tensors[key].shape)} instead of {list(tensor.shape)}"
        for key, tensor in expected.items()
        if key in tensors and tensors[key].shape != tensor.shape
    ]
    complain(source, missing, misshaped, extra)
    network.load_state_dict(
        {key: tensors[key].to(tensor.dtype, copy=True) for key, tensor in expected.items()},
        assign=True,
    )


def mask_generator(
    network: Any,
    *,
    prompting: Prompting = "grid",
    prompts: int = 256,
    sparse_per_side: int = 8,
    **options: Any,
) -> SamMasks:
    """Return the generator for a network, with options as the node and the command line give them.

    Args:
        network: as `SamMasks` takes it.
        prompting: "grid", as published, or "guided" by the coarse score; see `guided.GuidedPoints`.
        prompts: number of points with "guided".
        sparse_per_side: of the grid that is always asked with "guided".
        **options: of `SamMasks`.

    Raises:
        ValueError: an option is out of its range.
    """
    guided = point_source(prompting, prompts, sparse_per_side)
    return SamMasks(network, point_source=guided, **options)


def check_generator_options(name: str, given: Iterable[str], own: Iterable[str] = ()) -> None:
    """Raise a TypeError where a generator does not know an option, before its weights are read.

    Args:
        name: the generator's, for the message.
        given: names of options that are to be passed to `mask_generator`.
        own: further ones that the generator has.
    """
    known = {*keyword_options(mask_generator), *keyword_options(SamMasks), *own}
    refuse_unknown(name, given, known - {"point_source"})  # which `prompting` chooses


def load_sam(
    name: str,
    checkpoint: str | PathLike[str] | None = None,
    device: str = "cpu",
    *,
    fused_attention: bool = False,
    compiled: Compiled = False,
    **options: Any,
) -> SamMasks:
    """Build the generator `name`, sam_vit_h, sam_vit_l or sam_vit_b, from its published file.

    Args:
        name: see above.
        checkpoint: the file.
        device: a torch device.
        fused_attention: run the image encoder's attention as one fused operation, see
            `attention.FusedAttention`: faster, with other rounding. On a street frame with stand-in
            weights (`tools.benchmarks.sam_options`, ViT-B) all masks remain, their mean IoU with
            the exact ones is 0.9999, and the final map moves by 1e-5 of its range on average.
        compiled: run the image encoder through `torch.compile`, see `compile_encoder`: the first
            image then takes minutes, the others less than before, with other rounding.
        **options: of `mask_generator`.

    Raises:
        CheckpointError: see `load_weights`.
        TypeError: an option is unknown.
        ValueError: an option is out of its range, or the device is not there.
    """
    check_generator_options(name, options, own=keyword_options(load_sam))
    where = device_of(device)
    tensors = read_weights(checkpoint, name)  # before the network is built, which takes seconds
    sam = sam_model_registry[name.removeprefix("sam_")]()
    assign_weights(sam, tensors, str(checkpoint))
    if fused_attention:
        fuse_attention(sam.image_encoder)
    if compiled:
        compile_encoder(sam.image_encoder, compiled)
    return mask_generator(sam.to(where), **options)


sam_vit_h = partial(load_sam, "sam_vit_h")
sam_vit_l = partial(load_sam, "sam_vit_l")
sam_vit_b = partial(load_sam, "sam_vit_b")
