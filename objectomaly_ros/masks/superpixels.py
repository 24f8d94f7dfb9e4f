"""Superpixels of even size, and coarser label maps made of them.

Sources: seeds on a grid (Machairas et al., "Waterpixels", TIP 2015) grow by watershed (Meyer,
"Color image segmentation", ICIP 1992). For each coarser level, superpixels join their most similar
neighbour: one round of Boruvka's minimum spanning tree (Wei et al., "Superpixel Hierarchy", TIP
2018).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from objectomaly_ros.types import Image, LabelMaps

Labels = npt.NDArray[np.int32]
"""(h, w) int32: the region of every pixel, 0 and up without gaps."""

_BOX = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class FrameSuperpixels:
    """Superpixels coarse enough to be made on every frame, in 1 to 3 ms.

    Attributes:
        levels: number of label maps, see `superpixel_levels`.
        step: pixels between seeds in an image of `max_pixels`; fewer in smaller images.
        sigma: of the Gaussian smoothing before, pixels.
        max_pixels: larger images are scaled down to at most this number of pixels.
    """

    levels: int = 2
    step: float = 5.0
    sigma: float = 0.8
    max_pixels: int = 160 * 120

    def label_maps(self, image: Image) -> LabelMaps:
        """Return the superpixels of `image`, (H, W, 3) RGB uint8, as (levels, h, w) int32."""
        small = shrunk(image, self.max_pixels, whole=True)
        share = small.shape[0] * small.shape[1] / self.max_pixels
        step = max(2, round(self.step * share**0.5))
        return np.stack(superpixel_levels(small, step, self.levels, self.sigma))


def shrunk(image: Image, max_pixels: int, *, whole: bool = False) -> Image:
    """Return `image`, (H, W, 3) uint8, scaled down if it has more than `max_pixels` pixels.

    It gets about that number of pixels. `whole` divides its sides by a whole number instead, which
    is quicker, and gives at most that number.
    """
    height, width = image.shape[:2]
    factor = (max_pixels / (height * width)) ** 0.5
    if factor >= 1:
        return image
    size = int(width * factor), int(height * factor)
    if whole:
        divisor = math.ceil((height * width / max_pixels) ** 0.5)
        size = width // divisor, height // divisor
    size = max(1, size[0]), max(1, size[1])
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def superpixel_levels(image: Image, step: int, levels: int, sigma: float) -> list[Labels]:
    """Divide an image into superpixels, and join these level by level.

    Every level has about a third of the regions of the one before.

    Args:
        image: (h, w, 3) RGB uint8.
        step: pixels between the seeds of the finest level.
        levels: number of levels, at least 1.
        sigma: of the Gaussian smoothing before, pixels; 0 for none.

    Returns:
        `levels` label maps, the finest first.
    """
    smooth = image if sigma == 0 else np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)
    label_maps = [_waterpixels(smooth, step)]
    while len(label_maps) < levels:
        label_maps.append(_joined(label_maps[-1], smooth))
    return label_maps


def _waterpixels(image: Image, step: int) -> Labels:
    """Grow a region from the flattest pixel of every whole square of `step` x `step` pixels."""
    height, width = image.shape[:2]
    rows, columns = height // step, width // step
    if rows == 0 or columns == 0:
        return np.zeros((height, width), np.int32)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    slope = np.asarray(cv2.GaussianBlur(dx * dx + dy * dy, (0, 0), 1))
    squares = slope[: rows * step, : columns * step].reshape(rows, step, columns, step)
    flattest = squares.transpose(0, 2, 1, 3).reshape(rows * columns, step * step).argmin(axis=1)
    square = np.arange(rows * columns)
    seeds = np.zeros((height, width), np.int32)
    seeds[
        square // columns * step + flattest // step, square % columns * step + flattest % step
    ] = square + 1
    grown = cv2.watershed(image, seeds).astype(np.float32)  # exact: fewer than 2^24 labels
    if grown.max() <= 0:  # watershed leaves the image's border free, and there is nothing else
        return np.zeros((height, width), np.int32)
    while (free := grown <= 0).any():  # lines between regions go to a neighbour
        grown[free] = cv2.dilate(grown, _BOX)[free]
    return _without_gaps(grown.astype(np.int32))


def _joined(labels: Labels, image: Image) -> Labels:
    """Join every region with its neighbour of nearest mean colour."""
    count = int(labels.max()) + 1
    if count == 1:
        return labels
    flat = labels.ravel()
    sizes = np.bincount(flat, minlength=count)
    first, second = _borders(labels)
    squares = np.zeros(len(first))
    for k in range(3):
        colour = np.bincount(flat, weights=image[..., k].ravel(), minlength=count) / sizes
        squares += (colour[first] - colour[second]) ** 2
    own, other = np.concatenate([first, second]), np.concatenate([second, first])
    distance = np.concatenate([squares, squares])
    least = np.full(count, np.inf)
    np.minimum.at(least, own, distance)
    near = distance == least[own]
    nearest = np.full(count, count)
    np.minimum.at(nearest, own[near], other[near])
    links = csr_array((np.ones(count), nearest, np.arange(count + 1)), shape=(count, count))
    _, joined = connected_components(links, directed=False)
    return np.asarray(joined, np.int32)[labels]


def _borders(labels: Labels) -> tuple[Labels, Labels]:
    """Return the regions on the two sides of every border between pixels."""
    right, down = labels[:, :-1] != labels[:, 1:], labels[:-1] != labels[1:]
    first = np.concatenate([labels[:, :-1][right], labels[:-1][down]])
    return first, np.concatenate([labels[:, 1:][right], labels[1:][down]])


def _without_gaps(labels: Labels) -> Labels:
    """Renumber the regions: a seed swallowed by a neighbour leaves a gap."""
    used = np.bincount(labels.ravel()) > 0
    return (np.cumsum(used) - 1).astype(np.int32)[labels]
