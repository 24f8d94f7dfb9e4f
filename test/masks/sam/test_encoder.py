"""Fused attention gives the package's embedding, and keeps the names of its tensors."""

import pytest
import torch
from torch import nn

from objectomaly_ros.masks.sam.encoder import fuse_attention


def test_embedding_is_the_packages(make_sam):
    encoder = make_sam().image_encoder
    image = torch.randn((1, 3, 256, 256), generator=torch.Generator().manual_seed(1))
    names = list(encoder.state_dict())
    with torch.inference_mode():
        expected = encoder(image)
        fuse_attention(encoder)
        fused = encoder(image)
        assert not torch.equal(fused, expected), "nothing was replaced"
        torch.testing.assert_close(fused, expected, atol=1e-4, rtol=1e-5)
    assert list(encoder.state_dict()) == names


def test_relative_positions_matter(make_sam):
    encoder = make_sam().image_encoder
    image = torch.randn((1, 3, 256, 256), generator=torch.Generator().manual_seed(1))
    fuse_attention(encoder)
    with torch.inference_mode():
        before = encoder(image)
        for block in encoder.blocks:
            block.attn.rel_pos_h.zero_()
        assert (encoder(image) - before).abs().max() > 0.01


def test_other_encoders_are_refused():
    with pytest.raises(ValueError, match="not for a Conv2d"):
        fuse_attention(nn.Conv2d(1, 1, 1))
