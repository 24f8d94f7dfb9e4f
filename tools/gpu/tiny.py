"""Networks of the published kinds that run in milliseconds, and bounds of half precision."""

from __future__ import annotations

from typing import Any

import torch

from objectomaly_ros.detectors.architectures import Architecture

_SMALL: dict[str, Any] = {
    "hidden": 64,  # two channels in a group: one has no variance at a single place
    "encoder_layers": 2,
    "encoder_feedforward": 48,
    "decoder_feedforward": 64,
    "decoder_layers": 4,
}
_SWIN: dict[str, Any] = {**_SMALL, "heads": (1, 2, 4, 8), "window": 4}
_CLOSED_SET = Architecture("swin", 8, (1, 1, 2, 1), **_SWIN)
ARCHITECTURES = {
    "mask2anomaly": Architecture("resnet", 8, (1, 2, 1, 1), two_sided=True, queries=20, **_SMALL),
    "rba": Architecture(
        "swin", 8, (1, 1, 2, 1), levels=1, queries=20, **{**_SWIN, "decoder_layers": 1}
    ),
    "uno": Architecture("swin", 8, (1, 1, 2, 1), classes=20, queries=20, **_SWIN),
    "eam": _CLOSED_SET,
    "maskomaly": _CLOSED_SET,  # its rule names queries up to 83, so 100 of them
}
RPL_WIDTH = 8

HALF_BOUNDS = {"bfloat16": 0.04, "float16": 0.02}
"""How far half precision may move a score, as the mean difference over the score's range. Random
weights are harder than trained ones: masks hover around the threshold that steers attention."""

SAM2_SIDE = 128


def sam2(seed: int = 0) -> Any:
    """Return a small Sam2Model with random weights, and masks that vary."""
    import transformers

    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=16, num_attention_heads=1, image_size=[SAM2_SIDE, SAM2_SIDE],
        blocks_per_stage=[1, 1, 2, 1], embed_dim_per_stage=[16, 32, 64, 128],
        num_attention_heads_per_stage=[1, 2, 4, 8], global_attention_blocks=[3],
        window_size_per_stage=[8, 4, 4, 2],
    )  # fmt: skip
    vision = transformers.Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[128, 64, 32, 16],
        backbone_feature_sizes=[[SAM2_SIDE // 4] * 2, [SAM2_SIDE // 8] * 2, [SAM2_SIDE // 16] * 2],
        fpn_hidden_size=64,
    )  # fmt: skip
    torch.manual_seed(seed)
    network = transformers.Sam2Model(
        transformers.Sam2Config(
            vision_config=vision,
            prompt_encoder_config={"hidden_size": 64, "image_size": SAM2_SIDE},
            mask_decoder_config={"hidden_size": 64, "mlp_dim": 64, "iou_head_hidden_dim": 32},
        )
    )
    fill_sam2(network)
    return network.eval()


def fill_sam2(network: Any) -> None:
    """Give a Sam2Model random weights of torch's seed with which masks vary."""
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and "norm" not in name and tensor.ndim > 1:
            tensor.copy_(torch.randn(tensor.shape) * (1.5 / tensor[0].numel() ** 0.5))
    table = network.shared_image_embedding.positional_embedding  # one table in two places
    table.copy_(torch.randn(table.shape))
    network.prompt_encoder.shared_embedding.positional_embedding.copy_(table)
