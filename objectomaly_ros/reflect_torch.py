"""OpenCV's BORDER_REFLECT_101 on the device where a map is."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch


def reflect(values: torch.Tensor, margin: int, axis: int) -> torch.Tensor:
    """Continue both ends of an axis by `margin`, mirrored without repeating the border.

    The axis may be shorter than the margin, which `torch.nn.functional.pad` refuses.
    """
    return values.index_select(axis, _reflected(values.shape[axis], margin, values.device))


@lru_cache(maxsize=32)
def _reflected(length: int, margin: int, device: torch.device) -> torch.Tensor:
    """Return (length + 2 margin,) int64; kept, because a copy to the device waits for it."""
    return torch.from_numpy(np.pad(np.arange(length), margin, mode="reflect")).to(device)
