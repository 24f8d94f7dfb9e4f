"""MobileSAM: the published names and shapes, numbers that stay, errors that say what is wrong."""

import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.masks import load_mask_generator, mobile_sam
from objectomaly_ros.masks.tiny_vit import TinyViT

DATA = Path(__file__).parent / "data"
TINY = {"img_size": 240, "widths": (16, 32, 48, 64), "depths": (1, 1, 2, 1), "heads": (1, 2, 2, 4)}


def value(name, shape):
    """A reproducible tensor for a name; scales keep embeddings and masks varied."""
    noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("running_var"):
        noise = 1 + 0.1 * abs(noise)
    elif name.endswith("attention_biases"):
        noise = 2 * noise
    elif len(shape) > 1:
        noise = np.sqrt(2 / np.prod(shape[1:])) * noise
    else:
        noise = 0.1 * noise + (1 if name.endswith("weight") else 0)
    return torch.from_numpy(np.asarray(noise, dtype=np.float32))


def official_tensors(network):
    """Name -> tensor as the published file would hold them, its unused classifier too."""
    tensors = {
        name: torch.tensor(7) if "num_batches" in name else value(name, tensor.shape)
        for name, tensor in network.state_dict().items()
    }
    for part, shape in (("norm_head", (64,)), ("head", (1000, 64))):
        tensors[f"image_encoder.{part}.weight"] = torch.zeros(shape)
        tensors[f"image_encoder.{part}.bias"] = torch.zeros(shape[0])
    return tensors


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Write a small MobileSAM's file; `mobile_sam` then is a network of that size."""
    build = mobile_sam.build
    monkeypatch.setattr(mobile_sam, "build", lambda: build(TinyViT(**TINY)))

    def write(change=lambda tensors: None):
        tensors = official_tensors(build(TinyViT(**TINY)))
        change(tensors)
        path = tmp_path / "mobile_sam.pt"
        torch.save(tensors, path)
        return path

    return write


def test_names_and_shapes_are_the_published_ones():
    """The size of `mobile_sam.pt` is known: 40,560,924 bytes of tensors with its classifier."""
    with torch.device("meta"):
        tensors = mobile_sam.build().state_dict()
    expected = {
        "image_encoder.patch_embed.seq.0.c.weight": [32, 3, 3, 3],
        "image_encoder.patch_embed.seq.2.bn.running_mean": [64],
        "image_encoder.layers.0.blocks.1.conv2.c.weight": [256, 1, 3, 3],
        "image_encoder.layers.0.downsample.conv1.c.weight": [128, 64, 1, 1],
        "image_encoder.layers.1.blocks.0.attn.attention_biases": [4, 49],
        "image_encoder.layers.2.blocks.5.attn.attention_biases": [5, 196],
        "image_encoder.layers.2.blocks.5.attn.qkv.weight": [480, 160],
        "image_encoder.layers.2.downsample.conv2.c.weight": [320, 1, 3, 3],
        "image_encoder.layers.3.blocks.1.local_conv.bn.num_batches_tracked": [],
        "image_encoder.layers.3.blocks.1.mlp.fc2.weight": [320, 1280],
        "image_encoder.neck.3.bias": [256],
        "mask_decoder.iou_prediction_head.layers.2.weight": [4, 256],
    }
    assert {name: list(tensors[name].shape) for name in expected} == expected
    classifier = 4 * (2 * 320 + 320 * 1000 + 1000)
    assert len(tensors) == 439 - 4
    numbers = sum(tensor.numel() for tensor in tensors.values())
    assert 4 * numbers + classifier == 40_560_924


def test_embeddings_stay():
    """The numbers were those of MobileSAM's own code to 1e-5 when they were stored.

    `OBJECTOMALY_UPDATE_EXPECTED=1` writes them anew. With 240 pixels the windows of every stage are
    partly padding.
    """
    encoder = TinyViT(**TINY)
    encoder.load_state_dict(
        {
            name: tensor if "num_batches" in name else value(name, tensor.shape)
            for name, tensor in encoder.state_dict().items()
        }
    )
    y, x = np.mgrid[0:1:240j, 0:1:240j]
    image = np.stack([np.sin(9 * x + 4 * y), np.cos(7 * y * x), np.sign(np.sin(20 * x))])
    with torch.inference_mode():
        embedding = encoder(torch.from_numpy(image.astype(np.float32))[None])[0].numpy()
    assert embedding.shape == (256, 15, 15)
    probe = embedding[::16]
    path = DATA / "tiny_vit.npz"
    if os.environ.get("OBJECTOMALY_UPDATE_EXPECTED") == "1":
        path.parent.mkdir(exist_ok=True)
        np.savez_compressed(path, probe=probe)
    stored = np.load(path)["probe"]
    assert np.ptp(stored) > 1
    np.testing.assert_allclose(probe, stored, atol=1e-3)


def test_masks_from_a_published_file(tiny):
    generator = load_mask_generator(
        "mobile_sam", tiny(), points_per_side=4,
        pred_iou_thresh=0, stability_score_thresh=0, box_nms_thresh=1,
    )  # fmt: skip
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    masks = generator.generate(image)
    assert masks.dtype == np.bool_
    assert masks.shape[1:] == (90, 120)
    assert len(masks) >= 2


def test_missing_and_misshaped_tensors_are_named(tiny):
    def spoil(tensors):
        del tensors["image_encoder.layers.1.blocks.0.attn.attention_biases"]
        tensors["image_encoder.neck.1.bias"] = torch.zeros(3)

    with pytest.raises(CheckpointError) as caught:
        load_mask_generator("mobile_sam", tiny(spoil))
    message = str(caught.value)
    assert "1 missing: image_encoder.layers.1.blocks.0.attn.attention_biases" in message
    assert "image_encoder.neck.1.bias [3] instead of [256]" in message


def test_without_a_file():
    with pytest.raises(CheckpointError, match="checkpoints download mobile_sam"):
        load_mask_generator("mobile_sam")
    with pytest.raises(CheckpointError, match=r"no checkpoint at nowhere\.pt"):
        load_mask_generator("mobile_sam", "nowhere.pt")
