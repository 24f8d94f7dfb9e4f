"""Mask generator `regions`: graph-based segmentation of the image, no weights needed.

Source: Felzenszwalb, Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004, by
scikit-image.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects
from skimage.segmentation import felzenszwalb

from objectomaly_ros.types import Image, Masks, ScoreMap

_WORKING_PIXELS = 240 * 180  # the size that the defaults were measured at


class RegionMasks:
    """Divides an image into regions of similar colour.

    The default is one fine scale, a tiling: its regions do not overlap, so it means the same under
    both overlap rules of OASC. Measured on 62 street scenes with pasted obstacles (AuPRC/FPR95 in %
    on its odd and its even frames), a tiling of scale 15 at 240x180 with MBP takes the embedded
    detector from 62.4/17.6 and 65.5/8.2 to 62.9/15.4 and 66.2/7.2, ESPNetv2's void output from
    12.5/33.4 and 13.3/44.9 to 16.0/30.2 and 18.7/44.8, its max logit from 10.5/38.5 and 10.3/55.0
    to 13.8/35.6 and 13.9/56.9. Scale 20 at 320x240 is no better and takes three times as long, and
    masks that come late are worth less. Coarser scales cost the embedded detector AuPRC. Larger
    regions merge obstacles with the ground and take it back: under the paper's order,
    where the larger wins, several scales are worse than none. So with more than one scale, limit
    the area or choose `overlap="smallest"`.

    Attributes:
        scales: Felzenszwalb's k, one tiling each; higher gives larger regions. In pixels of an
            image of at most `max_pixels`, for 8-bit colours scaled to 0..1.
        sigma: Gaussian smoothing before the segmentation, pixels.
        min_size: smallest region, pixels of an image of 240x180; scaled with smaller ones.
        max_area: largest region kept, as a share of the image. 1 keeps all.
        max_pixels: larger images are scaled down to this number of pixels, so that time is
            bounded; the masks come at that size, and OASC takes masks of any size.
    """

    def __init__(
        self,
        checkpoint: str | PathLike[str] | None = None,
        device: str = "cpu",
        *,
        scales: Sequence[float] = (15.0,),
        sigma: float = 0.8,
        min_size: int = 5,
        max_area: float = 1.0,
        max_pixels: int = _WORKING_PIXELS,
    ) -> None:
        """Set the generator up; `checkpoint` must be None and `device` is not used.

        Raises:
            ValueError: an option is out of its range, or a checkpoint was given.
        """
        del device  # it always runs on the CPU
        if checkpoint is not None:
            raise ValueError(f"regions have no weights, but got the checkpoint {checkpoint!r}")
        if not scales or min(scales) <= 0:
            raise ValueError(f"scales must be one or more numbers above 0, got {scales!r}")
        if sigma < 0 or min_size < 1 or max_pixels < 1:
            raise ValueError(
                "sigma must be at least 0, min_size and max_pixels at least 1; "
                f"got {sigma}, {min_size}, {max_pixels}"
            )
        if not 0 < max_area <= 1:
            raise ValueError(f"max_area is a share of the image, above 0 to 1; got {max_area}")
        self.scales = tuple(float(scale) for scale in scales)
        self.sigma = sigma
        self.min_size = min_size
        self.max_area = max_area
        self.max_pixels = max_pixels

    def generate(self, image: Image, score: ScoreMap | None = None) -> Masks:
        """Return the regions of `image`.

        Args:
            image: (H, W, 3) RGB uint8.
            score: not used.

        Returns:
            (N, h, w) bool, h and w at most H and W, scale after scale.
        """
        del score
        small = self._shrunk(image)
        pixels = small.shape[0] * small.shape[1]
        min_size = max(1, round(self.min_size * pixels / _WORKING_PIXELS))
        tilings = [
            _masks(
                felzenszwalb(small, scale=scale, sigma=self.sigma, min_size=min_size),
                self.max_area * pixels,
            )
            for scale in self.scales
        ]
        return np.concatenate(tilings)

    def _shrunk(self, image: Image) -> Image:
        height, width = image.shape[:2]
        factor = (self.max_pixels / (height * width)) ** 0.5
        if factor >= 1:
            return image
        size = (max(1, int(width * factor)), max(1, int(height * factor)))
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _masks(labels: npt.NDArray[np.integer], max_pixels: float) -> Masks:
    """Return a mask for every label of at most `max_pixels` pixels, (N, h, w) bool."""
    areas = np.bincount(labels.ravel())
    boxes = find_objects(labels + 1)  # it takes 0 for background
    kept = [label for label, area in enumerate(areas) if 0 < area <= max_pixels]
    masks = np.zeros((len(kept), *labels.shape), dtype=np.bool_)
    for mask, label in zip(masks, kept, strict=True):
        mask[boxes[label]] = labels[boxes[label]] == label
    return masks
