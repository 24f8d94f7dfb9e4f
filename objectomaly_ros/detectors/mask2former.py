"""The network of Mask2Anomaly, RbA, UNO, EAM and Maskomaly, on Mask2Former of transformers."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import (
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    ResNetConfig,
    SwinConfig,
)
from transformers.initialization import no_init_weights

from objectomaly_ros.detectors.architectures import Architecture
from objectomaly_ros.detectors.deformable_attention import DeformableAttention
from objectomaly_ros.detectors.global_mask_attention import GlobalMaskAttention

_STAGES = ["stage1", "stage2", "stage3", "stage4"]


class Prediction(NamedTuple):
    """The network's output for a batch of B images.

    Attributes:
        class_logits: (B, Q, K+1).
        mask_logits: (B, Q, h, w), a quarter of the input's size.
        layer_class_logits: class logits before the first and after every decoder layer; the last
            are `class_logits`.
    """

    class_logits: torch.Tensor
    mask_logits: torch.Tensor
    layer_class_logits: list[torch.Tensor]


class Mask2FormerNetwork(nn.Module):
    """Maps images to masks and their classes.

    Its weights are uninitialised until `name_conversion.load_official` loads a checkpoint.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        with no_init_weights():
            self.segmenter = Mask2FormerForUniversalSegmentation(_config(architecture))
            for layer in self.segmenter.model.pixel_level_module.decoder.encoder.layers:
                layer.self_attn = DeformableAttention(
                    architecture.hidden, architecture.attention_heads, architecture.levels, 4
                )
            if architecture.levels == 1:
                _use_one_level(self.segmenter.model, architecture)
            if architecture.two_sided:
                for layer in self.segmenter.model.transformer_module.decoder.layers:
                    layer.cross_attn = GlobalMaskAttention(
                        architecture.hidden, architecture.attention_heads
                    )
        # Only training needs the loss, its matcher and its buffers.
        del self.segmenter.criterion
        self.eval()

    def forward(self, images: torch.Tensor) -> Prediction:
        """Predict on images, (B, 3, H, W), normalised, sides multiples of 32."""
        model = self.segmenter.model
        pixels = model.pixel_level_module(images)
        decoded = model.transformer_module(
            multi_scale_features=pixels.decoder_hidden_states,
            mask_features=pixels.decoder_last_hidden_state,
        )
        # One small layer for ten states of 100 queries: cheaper than a flag for the tests.
        layers = [
            self.segmenter.class_predictor(s.transpose(0, 1))
            for s in decoded.intermediate_hidden_states
        ]
        return Prediction(layers[-1], decoded.masks_queries_logits[-1], layers)


def _config(architecture: Architecture) -> Mask2FormerConfig:
    backbone: Any
    if architecture.backbone == "resnet":
        backbone = ResNetConfig(
            embedding_size=architecture.width,
            hidden_sizes=[4 * architecture.width << stage for stage in range(4)],
            depths=list(architecture.depths),
            out_features=_STAGES,
        )
    else:
        backbone = SwinConfig(
            embed_dim=architecture.width,
            depths=list(architecture.depths),
            num_heads=list(architecture.heads or ()),
            window_size=architecture.window,
            drop_path_rate=0.0,
            out_features=_STAGES,
        )
    # transformers warns that it never tried ResNet here; the goldens prove it right.
    logging.getLogger("transformers.models.mask2former.configuration_mask2former").setLevel(
        logging.ERROR
    )
    return Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=architecture.hidden,
        mask_feature_size=architecture.hidden,
        hidden_dim=architecture.hidden,
        encoder_layers=architecture.encoder_layers,
        encoder_feedforward_dim=architecture.encoder_feedforward,
        decoder_layers=architecture.decoder_layers + 1,
        dim_feedforward=architecture.decoder_feedforward,
        num_attention_heads=architecture.attention_heads,
        num_queries=architecture.queries,
        num_labels=architecture.classes,
        use_auxiliary_loss=False,
        # With one level, the pixel decoder starts at stride 32 and its pyramid has three maps.
        feature_strides=[4, 8, 16, 32] if architecture.levels == 3 else [4, 32, 32, 32],
    )


def _use_one_level(model: nn.Module, architecture: Architecture) -> None:
    """Give the decoders only the stride-32 map, as RbA does; transformers fixes three levels."""
    parts: Any = model
    pixel_decoder = parts.pixel_level_module.decoder
    pixel_decoder.num_feature_levels = 1
    pixel_decoder.input_projections = pixel_decoder.input_projections[:1]
    pixel_decoder.level_embed = nn.Parameter(torch.empty(1, architecture.hidden))
    transformer = parts.transformer_module
    transformer.num_feature_levels = 1
    transformer.decoder.num_feature_levels = 1
    transformer.input_projections = transformer.input_projections[:1]
    transformer.level_embed = nn.Embedding(1, architecture.hidden)
