"""From an RGB image to a network's input: size policy, normalisation, padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, TypeGuard

import numpy as np
import torch
from PIL import Image as PillowImage
from torch.nn import functional as F

from objectomaly_ros.types import Image

Size: TypeAlias = tuple[int, int]
InputSize: TypeAlias = int | Sequence[int] | Literal["published"] | None
"""The size of the network's input: a short side (the long side is at most twice that), (height,
width), None for the image's own size, or `published` for that of the authors' evaluation."""

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


def size_policy(input_size: InputSize, published: int | None) -> int | Size | None:
    """Return a short side, a (height, width), or None for the image's own size.

    Args:
        input_size: the option of a detector.
        published: its authors' choice.

    Raises:
        ValueError: `input_size` is no `InputSize`.
    """
    if input_size is None:
        return None
    if isinstance(input_size, str):
        if input_size == "published":
            return published
    elif _is_side(input_size):
        return input_size
    elif isinstance(input_size, Sequence):
        sides = [side for side in input_size if _is_side(side)]
        if len(sides) == len(input_size) == 2:
            return sides[0], sides[1]
    raise ValueError(
        f"input_size is {input_size!r}; it must be a short side in pixels, [height, width], "
        "published, or null for the image's own size"
    )


def _is_side(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def network_size(shape: Size, policy: int | Size | None) -> Size:
    """Return the (height, width) that an image of `shape` is resized to.

    A short side is scaled as by detectron2's `ResizeShortestEdge`: exactly, unless the long side
    would exceed twice that; halves are rounded up.
    """
    if policy is None:
        return shape
    if isinstance(policy, tuple):
        return policy
    scale = policy / min(shape)
    sides = [float(policy) if side == min(shape) else scale * side for side in shape]
    if max(sides) > 2 * policy:
        scale = 2 * policy / max(sides)
        sides = [scale * side for side in sides]
    return int(sides[0] + 0.5), int(sides[1] + 0.5)


def resize(image: Image, size: Size) -> Image:
    """Resize an image to (height, width) with Pillow's bilinear filter, which antialiases."""
    if image.shape[:2] == size:
        return image
    small = PillowImage.fromarray(image).resize((size[1], size[0]), PillowImage.Resampling.BILINEAR)
    return np.asarray(small, dtype=np.uint8)


def normalised(
    image: Image,
    device: torch.device,
    *,
    multiple: int = 1,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> torch.Tensor:
    """Return an image as a network's input.

    Args:
        image: RGB, (H, W, 3) uint8.
        device: of the result; the image is sent there as bytes.
        multiple: the sides are padded to a multiple of this, right and bottom, with zeros after
            normalisation.
        mean: per channel, in 0..255.
        std: per channel.

    Returns:
        (1, 3, h, w) float32.
    """
    pixels = torch.from_numpy(np.array(image)).to(device).permute(2, 0, 1).float()
    centre = torch.tensor(mean, device=device).view(3, 1, 1)
    spread = torch.tensor(std, device=device).view(3, 1, 1)
    height, width = image.shape[:2]
    padding = (0, -width % multiple, 0, -height % multiple)
    batch = F.pad((pixels - centre) / spread, padding)[None]
    if device.type == "cuda":  # fastest for convolutions in half precision
        return batch.contiguous(memory_format=torch.channels_last)
    return batch
