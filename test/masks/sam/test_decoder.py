"""The decoder gives the package's numbers, bit for bit where the image's work is shared."""

import pytest
import torch

from objectomaly_ros.masks.sam.decoder import PointDecoder


@pytest.fixture(scope="module")
def features():
    return torch.randn((1, 64, 16, 16), generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def points():
    return 256 * torch.rand((9, 2), generator=torch.Generator().manual_seed(4)).double()


def of_package(sam, features, points):
    labels = torch.ones((len(points), 1), dtype=torch.int)
    sparse, dense = sam.prompt_encoder(points=(points[:, None], labels), boxes=None, masks=None)
    return sam.mask_decoder(
        image_embeddings=features,
        image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
    )


def test_first_layer_of_the_image_is_bit_equal_to_what_every_prompt_computes(sam, features):
    """The projections that are shared, against the package's layer run on a batch of prompts."""
    seen = {}
    layer = sam.mask_decoder.transformer.layers[0]
    watched = {
        "k": layer.cross_attn_token_to_image.k_proj,
        "v": layer.cross_attn_token_to_image.v_proj,
        "q": layer.cross_attn_image_to_token.q_proj,
    }
    handles = [
        module.register_forward_hook(lambda _m, _i, output, key=key: seen.update({key: output}))
        for key, module in watched.items()
    ]
    with torch.inference_mode():
        of_package(sam, features, torch.rand((5, 2)) * 256)
        for handle in handles:
            handle.remove()
        shared = PointDecoder(sam.prompt_encoder, sam.mask_decoder).prepare(features)
    for key in watched:
        assert seen[key].shape[0] == 5
        for prompt in seen[key]:
            assert torch.equal(prompt, getattr(shared, key)[0]), key


def test_masks_and_qualities_are_the_packages(sam, features, points):
    with torch.inference_mode():
        logits, quality = of_package(sam, features, points)
        decoder = PointDecoder(sam.prompt_encoder, sam.mask_decoder)
        decoded = decoder.decode(decoder.prepare(features), points, 0.0)
    assert decoded.prompt.tolist() == [p for p in range(len(points)) for _ in range(3)]
    torch.testing.assert_close(decoded.logits, logits.flatten(0, 1), atol=2e-4, rtol=1e-5)
    torch.testing.assert_close(decoded.predicted_iou, quality.flatten(), atol=1e-5, rtol=1e-5)


def test_poor_masks_are_left_out_before_they_are_upscaled(sam, features, points):
    upscaled = []
    handle = sam.mask_decoder.output_upscaling.register_forward_hook(
        lambda _m, _i, output: upscaled.append(len(output))
    )
    with torch.inference_mode():
        decoder = PointDecoder(sam.prompt_encoder, sam.mask_decoder)
        tokens = decoder.prepare(features)
        everything = decoder.decode(tokens, points, 0.0)
        limit = float(everything.predicted_iou.quantile(0.9))
        decoded = decoder.decode(tokens, points, limit)
        nothing = decoder.decode(tokens, points, 99.0)
    handle.remove()

    good = everything.predicted_iou > limit
    assert torch.equal(decoded.prompt, everything.prompt[good])
    torch.testing.assert_close(decoded.logits, everything.logits[good], atol=2e-4, rtol=1e-5)
    assert upscaled == [len(points), len(decoded.prompt.unique()), 0]
    assert len(nothing.logits) == 0
