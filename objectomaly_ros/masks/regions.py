"""Mask generator `regions`: divisions of the image by colour, no weights needed.

Sources: Felzenszwalb, Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004, by
scikit-image; for superpixels see `superpixels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

import numpy as np
from skimage.segmentation import felzenszwalb

from objectomaly_ros.arrays.checks import check_image
from objectomaly_ros.arrays.label_maps import masks_of
from objectomaly_ros.masks.superpixels import FrameSuperpixels, shrunk, superpixel_levels
from objectomaly_ros.oasc import OascRule
from objectomaly_ros.types import Image, LabelMaps, Masks, MaskSet, ScoreMap

_WORKING_PIXELS = 240 * 180  # the size that the defaults were measured at


class RegionMasks:
    """Divides an image into regions of similar colour, at several scales.

    The default is five label maps. Two are of Felzenszwalb's regions, which grow as far as the
    colour is even, so that thin and small objects keep regions of their own. Three are of
    superpixels of even size, which steady a noisy score. No single scale fits every obstacle, so
    the `recommended_rule` averages the regions of a pixel; a region counts more if the score varies
    less in it. `tools/experiments/refinement.py` measures this. Under the paper's rule, made for
    SAM's masks, the largest region wins and merges obstacles with the ground, which is worse than
    no regions. For that rule use one fine label map: `scales=(15,), superpixel_levels=0`.

    Attributes:
        scales: Felzenszwalb's k for each of its label maps, for colours scaled to 0..1 in an image
            of at most `max_pixels`; higher gives larger regions. May be empty.
        superpixel_levels: label maps of superpixels, each with a third of the regions of the last.
        superpixel_step: pixels between superpixels of the finest level, in an image of 240x180.
        sigma: of the Gaussian smoothing before, pixels.
        min_size: smallest Felzenszwalb region, pixels of an image of 240x180; it and
            `superpixel_step` shrink with smaller images.
        max_area: largest region kept, as a share of the image; 1 keeps all.
        max_pixels: larger images are scaled down to this number of pixels, to bound the time. Masks
            have that size.
        frame_superpixels: coarser superpixels for every frame, to be fused with propagated masks
            (`objectomaly_ros.video.fusion`); None with `fresh_levels` 0.
    """

    recommended_rule = OascRule(overlap="inverse_variance", residual=0.6, fade_s=0.5)

    def __init__(
        self,
        checkpoint: str | PathLike[str] | None = None,
        device: str = "cpu",
        *,
        scales: Sequence[float] = (15.0, 60.0),
        superpixel_levels: int = 3,
        superpixel_step: float = 5.0,
        sigma: float = 0.8,
        min_size: int = 5,
        max_area: float = 1.0,
        max_pixels: int = _WORKING_PIXELS,
        fresh_levels: int = 2,
    ) -> None:
        """Check the options; `checkpoint` must be None, and `device` is not used.

        Raises:
            ValueError: an option is out of its range, or a checkpoint was given.
        """
        del device  # regions are always made on the CPU
        if checkpoint is not None:
            raise ValueError(f"regions have no weights, but got the checkpoint {checkpoint!r}")
        if not isinstance(scales, Sequence) or any(
            not isinstance(scale, int | float) or scale <= 0 for scale in scales
        ):
            raise ValueError(f"scales must be numbers above 0, in a list; got {scales!r}")
        if superpixel_levels < 0 or superpixel_step < 2:
            raise ValueError(
                "superpixel_levels must be at least 0 and superpixel_step at least 2; "
                f"got {superpixel_levels}, {superpixel_step}"
            )
        if not scales and not superpixel_levels:
            raise ValueError("regions need scales, or superpixel_levels above 0; got neither")
        if sigma < 0 or min_size < 1 or max_pixels < 1:
            raise ValueError(
                "sigma must be at least 0, min_size and max_pixels at least 1; "
                f"got {sigma}, {min_size}, {max_pixels}"
            )
        if fresh_levels < 0:
            raise ValueError(f"fresh_levels must be at least 0 (0 for none), got {fresh_levels}")
        if not 0 < max_area <= 1:
            raise ValueError(f"max_area is a share of the image, above 0 to 1; got {max_area}")
        self.scales = tuple(float(scale) for scale in scales)
        self.superpixel_levels = superpixel_levels
        self.superpixel_step = superpixel_step
        self.sigma = sigma
        self.min_size = min_size
        self.max_area = max_area
        self.max_pixels = max_pixels
        self.frame_superpixels = FrameSuperpixels(fresh_levels) if fresh_levels else None

    def generate(self, image: Image, score: ScoreMap | None = None) -> Masks:
        """Return the regions of `image`, one mask each.

        Args:
            image: (H, W, 3) RGB uint8.
            score: not used.

        Returns:
            (N, h, w) bool, one label map after the other, h and w at most H and W.

        Raises:
            TypeError, ValueError: the image has another form.
        """
        return masks_of(self._label_maps(image))

    def find(self, image: Image, score: object = None) -> MaskSet:
        """Return the regions of `image` as label maps; arguments and errors as of `generate`."""
        return MaskSet(self._label_maps(image))

    def _label_maps(self, image: Image) -> LabelMaps:
        check_image(image)
        small = shrunk(image, self.max_pixels)
        share = small.shape[0] * small.shape[1] / _WORKING_PIXELS
        min_size = max(1, round(self.min_size * share))
        found = [
            felzenszwalb(small, scale=scale, sigma=self.sigma, min_size=min_size)
            for scale in self.scales
        ]
        if self.superpixel_levels:
            step = max(2, round(self.superpixel_step * share**0.5))
            found += superpixel_levels(small, step, self.superpixel_levels, self.sigma)
        label_maps = np.stack(found).astype(np.int32)
        if self.max_area < 1:
            for label_map in label_maps:
                too_large = np.bincount(label_map.ravel()) > self.max_area * label_map.size
                label_map[too_large[label_map]] = -1
        return label_maps
