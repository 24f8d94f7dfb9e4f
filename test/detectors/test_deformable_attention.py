"""Both forms of the sampling against transformers' own."""

import pytest
import torch
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention as TransformersAttention,
)
from transformers.models.mask2former.modeling_mask2former import multi_scale_deformable_attention

from objectomaly_ros.detectors.deformable_attention import (
    DeformableAttention,
    sampled,
    sampled_by_grid,
)

SHAPES = [(3, 4), (6, 8), (12, 16)]


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("batch", [1, 2])
def test_sampling_is_transformers(levels, batch):
    """Also where points lie outside the maps, on their borders and exactly on pixels."""
    torch.manual_seed(0)
    shapes = SHAPES[:levels]
    length = sum(h * w for h, w in shapes)
    values = torch.randn(batch, length, 2, 8)
    places = torch.rand(batch, 30, 2, levels, 4, 2) * 1.6 - 0.3
    places[:, 0], places[:, 1], places[:, 2] = 0.0, 1.0, 0.5
    weights = torch.rand(batch, 30, 2, levels, 4)
    wanted = multi_scale_deformable_attention(values, shapes, places, weights)
    for form in (sampled, sampled_by_grid):
        found = form(values, shapes, places, weights)
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_module_is_transformers():
    torch.manual_seed(0)
    length = sum(h * w for h, w in SHAPES)
    theirs = TransformersAttention(16, 2, n_levels=3, n_points=4).eval()
    ours = DeformableAttention(16, 2, levels=3, points=4).eval()
    ours.load_state_dict(theirs.state_dict())
    pixels, positions = torch.randn(2, 1, length, 16)
    call = {
        "hidden_states": pixels,
        "attention_mask": torch.zeros(1, length, dtype=torch.bool),
        "encoder_hidden_states": pixels,
        "position_embeddings": positions,
        "reference_points": torch.rand(1, length, 3, 2),
        "spatial_shapes_list": SHAPES,
    }
    with torch.inference_mode():
        torch.testing.assert_close(ours(**call)[0], theirs(**call)[0], atol=1e-5, rtol=1e-5)
