"""Mask generators: class-agnostic regions and objects that OASC calibrates the score with."""

from __future__ import annotations

from os import PathLike
from typing import Any

from objectomaly_ros.models.devices import chosen_device
from objectomaly_ros.models.extras import naming_extra
from objectomaly_ros.models.registry import construct, find_constructor
from objectomaly_ros.types import MaskGenerator

# Name -> "module:constructor". Modules are imported when asked for, so that one generator's
# dependencies are not everybody's; a constructor takes (checkpoint, device, **options).
MASK_GENERATORS: dict[str, str] = {
    "regions": "objectomaly_ros.masks.regions:RegionMasks",
    "sam_vit_h": "objectomaly_ros.masks.sam.loading:sam_vit_h",
    "sam_vit_l": "objectomaly_ros.masks.sam.loading:sam_vit_l",
    "sam_vit_b": "objectomaly_ros.masks.sam.loading:sam_vit_b",
    "mobile_sam": "objectomaly_ros.masks.mobile_sam:load",
    "sam2_hiera_tiny": "objectomaly_ros.masks.sam2:sam2_hiera_tiny",
    "sam2_hiera_small": "objectomaly_ros.masks.sam2:sam2_hiera_small",
    "sam2_hiera_base_plus": "objectomaly_ros.masks.sam2:sam2_hiera_base_plus",
    "sam2_hiera_large": "objectomaly_ros.masks.sam2:sam2_hiera_large",
    "edgetam": "objectomaly_ros.masks.sam2:edgetam",
}


def load_mask_generator(
    name: str, checkpoint: str | PathLike[str] | None = None, device: str = "cpu", **options: Any
) -> MaskGenerator:
    """Load a mask generator by name.

    Args:
        name: one of `MASK_GENERATORS`, or "module:Class" for a generator of the user's own; its
            class is called as `Class(checkpoint=..., device=..., **options)`, without checkpoint
            and device if it does not take them.
        checkpoint: path of the weights, for those that have any.
        device: a torch device, e.g. "cpu" or "cuda:0"; "auto" for the GPU if there is one.
        **options: passed on to the generator.

    Raises:
        ValueError: the name is unknown.
        ImportError: the module does not import, or has no such class; or a package of an extra is
            missing.
        TypeError: the generator has no `generate` method, does not know an option or the
            checkpoint, wants another type, or needs an option that is not given.
    """
    device = chosen_device(device, checkpoint)
    with naming_extra(f"mask generator {name}"):
        constructor = find_constructor("mask generator", name, MASK_GENERATORS)
        generator: MaskGenerator = construct(name, constructor, checkpoint, device, options)
    if not callable(getattr(generator, "generate", None)):
        raise TypeError(
            f"mask generator {name!r} gave a {type(generator).__name__} "
            "without a `generate(image, score=None)` method"
        )
    return generator
