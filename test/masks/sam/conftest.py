"""Small SAMs of the package's own modules, with weights that let many masks survive."""

import os
import re
import zlib
from functools import partial

import numpy as np
import pytest
import torch
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

# (pattern, scale, centre): values are centre + scale n, and for matrices scale n / sqrt(fan in).
# Queries and keys share their draw, so that attention is local, and masks are blobs.
_RULES = (
    (r"gaussian_matrix$", 1.0, 0.0),
    (r"pos_embed$", 0.5, 0.0),
    (r"rel_pos_[hw]$", 0.1, 0.0),
    (r"embed.*weight$|(iou_token|mask_tokens)\.weight$", 0.2, 0.0),
    (r"hypernetworks_mlps\.\d\.layers\.2\.bias$", 0.1, -8.0),
    (r"iou_prediction_head\.layers\.2\.bias$", 0.02, 0.9),
)
_GAINS = (
    (r"hypernetworks_mlps\.\d\.layers\.2\.weight$", 16.0),
    (r"iou_prediction_head\.layers\.2\.weight$", 0.1),
    (r"\.qkv\.weight$", 1.2),
    (r"\.attn\.proj\.weight$|image_encoder.*lin2\.weight$", 0.5),
    (r"mask_decoder.*lin2\.weight$", 0.2),
    (r"mask_decoder.*\.[qk]_proj\.weight$", 3.5),
    (r"mask_decoder.*\.v_proj\.weight$", 2.0),
    (r"mask_decoder.*\.out_proj\.weight$", 3.0),
)


def _value(name, shape):
    seed = zlib.crc32(name.replace("k_proj.weight", "q_proj.weight").encode())
    noise = np.random.RandomState(seed).standard_normal(shape)
    if "output_upscaling" in name and len(shape) == 4:  # smooth masks
        noise = 2 * noise.mean((2, 3), keepdims=True) + 0.05 * noise
        return np.sqrt(2 / shape[0]) * noise
    for pattern, scale, centre in _RULES:
        if re.search(pattern, name):
            return centre + scale * noise
    if len(shape) < 2:
        return 0.1 * noise + (1 if name.endswith("weight") else 0)
    gains = [gain for pattern, gain in _GAINS if re.search(pattern, name)]
    return (gains[0] if gains else np.sqrt(2)) * noise / np.sqrt(np.prod(shape[1:]))


def build(side=256, width=64):
    """A SAM with an input of side x side pixels."""
    embedding = side // 16
    sam = Sam(
        ImageEncoderViT(
            img_size=side, embed_dim=32, depth=2, num_heads=2, mlp_ratio=2, out_chans=width,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), use_rel_pos=True, window_size=5,
            global_attn_indexes=[1],
        ),
        PromptEncoder(
            embed_dim=width, image_embedding_size=(embedding, embedding),
            input_image_size=(side, side), mask_in_chans=4,
        ),
        MaskDecoder(
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=width, num_heads=4, mlp_dim=32
            ),
            transformer_dim=width, iou_head_hidden_dim=32,
        ),
    )  # fmt: skip
    sam.load_state_dict(
        {
            name: torch.from_numpy(_value(name, tuple(tensor.shape)).astype(np.float32))
            for name, tensor in sam.state_dict().items()
        }
    )
    return sam.eval()


def draw(height, width, seed=11):
    """An RGB image: gradients, rectangles, noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    image = np.stack([60 + 120 * x, 50 + 130 * y, 90 + 60 * np.sin(6 * (x + 2 * y))], -1)
    for _ in range(12):
        top, left = random.integers(0, height), random.integers(0, width)
        tall, wide = random.integers(2, height // 3 + 3), random.integers(2, width // 3 + 3)
        image[top : top + tall, left : left + wide] = random.integers(0, 256, 3)
    return np.clip(image + random.normal(0, 6, image.shape), 0, 255).round().astype(np.uint8)


@pytest.fixture(scope="session")
def sam():
    return build()


@pytest.fixture(scope="session")
def make_sam():
    return build


@pytest.fixture(scope="session")
def make_image():
    return draw


@pytest.fixture(scope="session")
def official():
    """What the official generator finds: its records, with the masks stacked."""

    def run(sam, image, **options):
        with np.errstate(invalid="ignore"):
            records = SamAutomaticMaskGenerator(sam, **options).generate(image)
        masks = [record["segmentation"] for record in records]
        return records, np.array(masks).reshape(len(masks), *image.shape[:2])

    return run


def pytest_collection_modifyitems(items):
    if os.environ.get("OBJECTOMALY_SLOW") == "1":
        return
    skip = pytest.mark.skip(reason="full-size network; set OBJECTOMALY_SLOW=1 to run it")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: full-size networks; runs with OBJECTOMALY_SLOW=1")
