"""Mask generator `mobile_sam`: SAM with a small image encoder.

Source: Zhang et al., "Faster Segment Anything", arXiv 2306.14289. Prompt encoder and mask decoder
are SAM's own; the image encoder is TinyViT-5M, so the official file is a SAM checkpoint with other
tensors under `image_encoder.`.
"""

from __future__ import annotations

from os import PathLike
from typing import Any

from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from objectomaly_ros.masks.sam.generator import SamMasks
from objectomaly_ros.masks.sam.loading import (
    assign_weights,
    check_generator_options,
    mask_generator,
    read_weights,
)
from objectomaly_ros.masks.tiny_vit import EMBEDDING, TinyViT
from objectomaly_ros.models.devices import device_of

_STRIDE = 16
_CLASSIFIER = ("image_encoder.norm_head.", "image_encoder.head.")  # of the encoder's own training


def build(encoder: TinyViT | None = None) -> Sam:
    """Return MobileSAM without weights.

    Args:
        encoder: its image encoder; the published one by default.
    """
    encoder = TinyViT() if encoder is None else encoder
    side = encoder.img_size
    transformer = TwoWayTransformer(depth=2, embedding_dim=EMBEDDING, num_heads=8, mlp_dim=2048)
    # The package's annotation asks for its own encoder; the class uses `img_size` and the call.
    return Sam(
        encoder,  # type: ignore[arg-type, unused-ignore]
        PromptEncoder(
            embed_dim=EMBEDDING,
            image_embedding_size=(side // _STRIDE, side // _STRIDE),
            input_image_size=(side, side),
            mask_in_chans=16,
        ),
        MaskDecoder(transformer=transformer, transformer_dim=EMBEDDING),
    ).eval()


def load(
    checkpoint: str | PathLike[str] | None = None, device: str = "cpu", **options: Any
) -> SamMasks:
    """Build the generator from the official `mobile_sam.pt`.

    Args:
        checkpoint: the file.
        device: a torch device.
        **options: as `objectomaly_ros.masks.sam.loading.mask_generator` takes them.

    Raises:
        CheckpointError: no file, an unsafe or damaged one, another network's, or tensors that do
            not fit.
        TypeError: an option is unknown.
    """
    check_generator_options("mobile_sam", options)
    where = device_of(device)
    tensors = read_weights(checkpoint, "mobile_sam")  # before the network is built
    sam = build()
    assign_weights(sam, tensors, str(checkpoint), ignored=_CLASSIFIER)
    return mask_generator(sam.to(where), **options)
