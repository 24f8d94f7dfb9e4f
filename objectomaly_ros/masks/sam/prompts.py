"""Prompts for SAM: point grids, crops of the image, and sources of other points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from segment_anything.utils import amg

from objectomaly_ros.types import ScoreMap

Points: TypeAlias = npt.NDArray[np.floating]
"""(n, 2) x, y: fractions of width and height, 0..1, or pixels."""

PointSource: TypeAlias = Callable[[ScoreMap | None], Points]
"""Chooses points of the whole image, (n, 2) in 0..1, by its (h, w) coarse score if there is one."""


class Crop(NamedTuple):
    """A part of the image that is segmented on its own.

    Attributes:
        box: x0, y0, x1, y1, pixels, x1 and y1 exclusive.
        layer: 0 for the whole image, then 1, 2, ... for smaller and smaller crops.
    """

    box: tuple[int, int, int, int]
    layer: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        x0, y0, x1, y1 = self.box
        return y1 - y0, x1 - x0


def crops(image_size: tuple[int, int], layers: int, overlap_ratio: float) -> list[Crop]:
    """Return the whole image and then the crops of each layer, in the official order."""
    boxes, layer_of = amg.generate_crop_boxes(image_size, layers, overlap_ratio)
    return [
        Crop((box[0], box[1], box[2], box[3]), layer)
        for box, layer in zip(boxes, layer_of, strict=True)
    ]


def grids(
    points_per_side: int | None,
    layers: int,
    downscale_factor: int,
    point_grids: Sequence[Points] | None,
) -> list[Points]:
    """Return the points of each crop layer; arguments as of `SamMasks`.

    Raises:
        ValueError: `points_per_side` and `point_grids` are both given or both None, or a layer has
            no grid of shape (n, 2).
    """
    if (points_per_side is None) == (point_grids is None):
        raise ValueError(
            "give points_per_side or point_grids, the other None; got "
            f"{points_per_side!r} and {point_grids!r}"
        )
    if point_grids is None:
        return list(amg.build_all_layer_point_grids(points_per_side, layers, downscale_factor))
    given: list[Points] = [np.asarray(grid, dtype=np.float64) for grid in point_grids]
    if len(given) <= layers or any(grid.ndim != 2 or grid.shape[1] != 2 for grid in given):
        raise ValueError(
            f"point_grids needs {layers + 1} arrays of shape (n, 2), one for each crop layer; "
            f"got {[grid.shape for grid in given]}"
        )
    return given
