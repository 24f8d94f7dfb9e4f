"""The masks of an image, in whichever form their generator gives them, and OASC with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from objectomaly_ros.arrays.checks import check_label_maps, check_masks
from objectomaly_ros.arrays.label_maps import masks_of
from objectomaly_ros.oasc import OascRule, calibrate
from objectomaly_ros.types import Image, LabelMaps, MaskGenerator, Masks, ScoreMap
from objectomaly_ros.video.cells import Cells

if TYPE_CHECKING:  # torch takes seconds to import, and not every generator needs it
    from objectomaly_ros.masks.sam.result import SamResult

DEVICES = ("cuda",)
"""Types of torch devices where OASC and MBP are worth running: not "cpu", where the NumPy forms are
several times faster. The results are equal within 1e-6."""


class Found(Protocol):
    """The masks that were found in an image."""

    def masks(self) -> Masks:
        """Return them on the host, (N, h, w) bool."""
        ...

    def calibrate(self, score: ScoreMap, rule: OascRule) -> ScoreMap:
        """Return OASC of `score` with them, (H, W) float32."""
        ...

    def cells(self, shape: tuple[int, int], rule: OascRule) -> Cells:
        """Make cells of them for maps of `shape`."""
        ...


def find_masks(generator: MaskGenerator, image: Image, score: ScoreMap | None) -> Found:
    """Ask a generator for the masks of `image`, in the form that is quickest to use.

    Raises:
        TypeError, ValueError: it gave something else.
    """
    packed = getattr(generator, "packed_masks", None)
    if callable(packed):
        return _Packed(packed(image, score))
    label_maps = getattr(generator, "label_maps", None)
    if callable(label_maps):
        return _Tilings(check_label_maps(label_maps(image, score)))
    return _Stack(check_masks(generator.generate(image, score)))


def stays_on_device(masks: object, rule: OascRule) -> bool:
    """Tell whether OASC is to run where masks are.

    Args:
        masks: packed masks, or a generator; its `device` decides, where it has one.
        rule: `inverse_variance` has no form on the device.
    """
    kind = getattr(getattr(masks, "device", None), "type", None)
    return kind in DEVICES and rule.overlap != "inverse_variance"


@dataclass(frozen=True, eq=False)
class _Stack:
    stack: Masks

    def masks(self) -> Masks:
        return self.stack

    def calibrate(self, score: ScoreMap, rule: OascRule) -> ScoreMap:
        return calibrate(score, self.stack, overlap=rule.overlap, residual=rule.residual)

    def cells(self, shape: tuple[int, int], rule: OascRule) -> Cells:
        return Cells.from_masks(self.stack, shape, rule=rule)


@dataclass(frozen=True, eq=False)
class _Tilings:
    label_maps: LabelMaps

    def masks(self) -> Masks:
        return masks_of(self.label_maps)

    def calibrate(self, score: ScoreMap, rule: OascRule) -> ScoreMap:
        return self.cells((score.shape[0], score.shape[1]), rule).calibrate(score)

    def cells(self, shape: tuple[int, int], rule: OascRule) -> Cells:
        return Cells.from_label_maps(self.label_maps, shape, rule=rule)


@dataclass(frozen=True, eq=False)
class _Packed:
    """Bits on a torch device, whose areas and boxes are known: neither is looked for again."""

    packed: SamResult

    def masks(self) -> Masks:
        return self.packed.masks()

    def calibrate(self, score: ScoreMap, rule: OascRule) -> ScoreMap:
        if stays_on_device(self.packed.bits, rule):
            from objectomaly_ros.gpu import pipeline as device_line

            return device_line.calibrate(score, self.packed, rule)
        return calibrate(
            score,
            self.masks(),
            overlap=rule.overlap,
            residual=rule.residual,
            **self._known(),
        )

    def cells(self, shape: tuple[int, int], rule: OascRule) -> Cells:
        return Cells.from_masks(self.masks(), shape, rule=rule, **self._known())

    def _known(self) -> dict[str, npt.NDArray[np.generic]]:
        return {
            "areas": self.packed.areas.cpu().numpy(),
            "boxes": self.packed.boxes_xywh().cpu().numpy(),
        }
