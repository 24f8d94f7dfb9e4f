"""A promptable network as mask generation uses it, and Segment Anything in that form."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from segment_anything.utils.transforms import ResizeLongestSide

from objectomaly_ros.masks.sam.decoder import Decoded, PointDecoder
from objectomaly_ros.masks.sam.prompts import Points
from objectomaly_ros.types import Image


@runtime_checkable
class PointNetwork(Protocol):
    """A network that embeds an image once and answers points with masks.

    Attributes:
        device: on which it runs.
        mask_threshold: logits above it are mask.
        low_side: side of the square of logits that it answers with.
        filled_side: side of the square that these logits are first enlarged to, a multiple.
    """

    device: torch.device
    mask_threshold: float
    low_side: int
    filled_side: int

    def encode(self, crop: Image) -> tuple[tuple[int, int], Any]:
        """Return the features of a (H, W, 3) uint8 crop, after the size that it has in the square.

        The size is the height and width that the crop fills of `filled_side`.
        """
        ...

    def prepare(self, features: Any) -> Any:
        """Compute the part of decoding that does not depend on the points."""
        ...

    def scaled(self, points: Points, crop_size: tuple[int, int]) -> Points:
        """Return (n, 2) points, in pixels of the crop, in pixels of the network's input."""
        ...

    def decode(self, prepared: Any, points: torch.Tensor, min_predicted_iou: float) -> Decoded:
        """Return the masks of (B, 2) scaled points whose predicted IoU exceeds the limit."""
        ...


class SamNetwork:
    """Segment Anything: the longest side is scaled to the square, and the rest of it padded.

    Attributes and methods are those of `PointNetwork`.
    """

    def __init__(self, sam: Any) -> None:
        """Take a `segment_anything.modeling.Sam` on its device."""
        self._sam = sam.eval().requires_grad_(False)
        self._resizing = ResizeLongestSide(sam.image_encoder.img_size)
        self.device = torch.device(sam.device)
        self.mask_threshold = float(sam.mask_threshold)
        self.low_side = int(sam.prompt_encoder.mask_input_size[0])
        self.filled_side = int(sam.image_encoder.img_size)
        decoder = PointDecoder(sam.prompt_encoder, sam.mask_decoder)
        self.prepare, self.decode = decoder.prepare, decoder.decode

    def encode(self, crop: Image) -> tuple[tuple[int, int], torch.Tensor]:
        """Return the size that the crop is resized to, and its embedding (1, C, h, w)."""
        height, width = crop.shape[:2]
        side = self.filled_side
        if 0 in self._resizing.get_preprocess_shape(height, width, side):
            raise ValueError(
                f"an image of {width}x{height} pixels is too narrow: with its longer side scaled "
                f"to {side} nothing is left of the other"
            )
        resized = self._resizing.apply_image(crop)
        pixels = torch.as_tensor(resized, device=self.device).permute(2, 0, 1).contiguous()
        features: torch.Tensor = self._sam.image_encoder(self._sam.preprocess(pixels[None]))
        return (resized.shape[0], resized.shape[1]), features

    def scaled(self, points: Points, crop_size: tuple[int, int]) -> Points:
        """Return the points in pixels of the resized crop."""
        scaled: Points = self._resizing.apply_coords(points, crop_size)
        return scaled
