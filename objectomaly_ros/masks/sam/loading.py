"""Loads SAM's published checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from segment_anything import sam_model_registry
from segment_anything.modeling import Sam

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.names import canonical, check_owner, load_tensors
from objectomaly_ros.checkpoints.reading import read_tensors
from objectomaly_ros.masks.sam.encoder import Compiled, compile_encoder, fuse_attention
from objectomaly_ros.masks.sam.generator import SamMasks
from objectomaly_ros.masks.sam.prompts import GuidedPoints, Prompting
from objectomaly_ros.models.devices import device_of
from objectomaly_ros.models.options import check_types
from objectomaly_ros.models.registry import keyword_options, refuse_unknown

_MOBILE_CLASSIFIER = ("image_encoder.norm_head.", "image_encoder.head.")  # of its training alone


def load_network(
    name: str, build: Callable[[], Sam], checkpoint: str | PathLike[str] | None, device: str = "cpu"
) -> Sam:
    """Return a SAM with the weights of its published file.

    Args:
        name: the mask generator's name, e.g. `sam_vit_b` or `mobile_sam`.
        build: returns the network without weights; called after the file has been read, because it
            takes seconds.
        checkpoint: the file.
        device: a torch device.

    Raises:
        CheckpointError: there is no file, it is unsafe, damaged or another network's, or tensors do
            not fit (named).
        ValueError: the device is not there.
    """
    where = device_of(device)
    if checkpoint is None:
        raise CheckpointError(
            f"{name} needs its weights: `objectomaly checkpoints download {name}` gets them; then "
            "give the file's path as checkpoint"
        )
    mobile = name == "mobile_sam"
    tensors = canonical(read_tensors(Path(checkpoint)))
    check_owner("mobile_sam" if mobile else "sam", tensors, str(checkpoint))
    network = build()
    load_tensors(network, tensors, str(checkpoint), _MOBILE_CLASSIFIER if mobile else ())
    return network.to(where)


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
        prompting: "grid", as published, or "guided" by the coarse score, see `GuidedPoints`.
        prompts: number of points with "guided".
        sparse_per_side: of the grid that is always prompted with "guided".
        **options: of `SamMasks`.

    Raises:
        ValueError: an option is out of its range.
    """
    if prompting not in ("grid", "guided"):
        raise ValueError(f"prompting must be 'grid' or 'guided', got {prompting!r}")
    guided = GuidedPoints(prompts, sparse_per_side) if prompting == "guided" else None
    return SamMasks(network, point_source=guided, **options)


def check_generator_options(name: str, given: Mapping[str, Any], own: Iterable[str] = ()) -> None:
    """Raise a TypeError for a wrong option of a generator, before weights are read.

    Args:
        name: the generator's, for the message.
        given: options for `mask_generator`.
        own: further options of the generator.
    """
    known = {*keyword_options(mask_generator), *keyword_options(SamMasks), *own}
    refuse_unknown(name, given, known - {"point_source"})  # which `prompting` chooses
    check_types(name, given, mask_generator, SamMasks)


def load_sam(
    name: str,
    checkpoint: str | PathLike[str] | None = None,
    device: str = "cpu",
    *,
    fused_attention: bool = False,
    compiled: Compiled = False,
    **options: Any,
) -> SamMasks:
    """Build the generator `sam_vit_h`, `sam_vit_l` or `sam_vit_b` from its published file.

    Args:
        name: of the generator.
        checkpoint: see `load_network`, as `device`.
        device: see there.
        fused_attention: run the image encoder's attention as one fused operation, see
            `encoder.FusedAttention`: faster, with other rounding. On a street frame with stand-in
            weights (`tools.benchmarks.sam_options`, ViT-B) all masks remain, their mean IoU with
            the exact ones is 0.9999, and the final map moves by 1e-5 of its range on average.
        compiled: run the image encoder through `torch.compile`, see `compile_encoder`: the first
            image then takes minutes, later ones less than before, with other rounding.
        **options: of `mask_generator`.

    Raises:
        CheckpointError: see `load_network`.
        TypeError: an option is unknown.
        ValueError: an option is out of its range, or the device is not there.
    """
    check_generator_options(name, options, own=keyword_options(load_sam))
    sam = load_network(name, sam_model_registry[name.removeprefix("sam_")], checkpoint, device)
    if fused_attention:
        fuse_attention(sam.image_encoder)
    if compiled:
        compile_encoder(sam.image_encoder, compiled)
    return mask_generator(sam, **options)


sam_vit_h = partial(load_sam, "sam_vit_h")
sam_vit_l = partial(load_sam, "sam_vit_l")
sam_vit_b = partial(load_sam, "sam_vit_b")
