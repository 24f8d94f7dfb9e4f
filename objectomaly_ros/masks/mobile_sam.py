"""Mask generator `mobile_sam`: SAM with a small image encoder.

Source: Zhang et al., "Faster Segment Anything", arXiv 2306.14289. Prompt encoder and mask decoder
are SAM's; the image encoder is TinyViT-5M. So the official file is a SAM checkpoint with other
tensors under `image_encoder.`.
"""

from __future__ import annotations

from os import PathLike
from typing import Any

from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from objectomaly_ros.masks.sam.generator import SamMasks
from objectomaly_ros.masks.sam.loading import check_generator_options, load_network, mask_generator
from objectomaly_ros.masks.tiny_vit import EMBEDDING, TinyViT

_STRIDE = 16


def build(encoder: TinyViT | None = None) -> Sam:
    """Return MobileSAM without weights, by default with its published image encoder."""
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

    Arguments and errors are those of `sam.loading.load_sam`, without its own options.
    """
    check_generator_options("mobile_sam", options)
    return mask_generator(load_network("mobile_sam", build, checkpoint, device), **options)
