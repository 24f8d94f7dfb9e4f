"""Official files load as they are; a file that does not fit is refused with a reason."""

import sys

import numpy as np
import pytest
import torch
from segment_anything import sam_model_registry

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.masks import load_mask_generator
from objectomaly_ros.masks.sam import loading


@pytest.fixture
def tiny(sam, make_sam, monkeypatch, tmp_path):
    """Make `sam_vit_b` build the small network; returns its weights and a path for a file."""
    monkeypatch.setitem(sam_model_registry, "vit_b", make_sam)
    return sam.state_dict(), tmp_path / "sam_vit_b.pth"


OPTIONS = {"points_per_side": 4, "pred_iou_thresh": 0.85, "stability_score_thresh": 0.5}


def test_an_official_file_gives_the_same_masks(sam, tiny, make_image):
    tensors, path = tiny
    torch.save(tensors, path)
    generator = load_mask_generator("sam_vit_b", path, **OPTIONS)
    expected = loading.SamMasks(sam, **OPTIONS).generate(make_image(90, 120))
    assert len(expected) > 0
    np.testing.assert_array_equal(generator.generate(make_image(90, 120)), expected)


def test_fused_attention_is_an_option(tiny, make_image):
    tensors, path = tiny
    torch.save(tensors, path)
    plain = load_mask_generator("sam_vit_b", path, **OPTIONS).segment(make_image(90, 120))
    fused = load_mask_generator("sam_vit_b", path, fused_attention=True, **OPTIONS)
    result = fused.segment(make_image(90, 120))
    assert (result.masks.cpu().numpy() != plain.masks.cpu().numpy()).mean() < 1e-3
    assert not torch.equal(result.predicted_iou, plain.predicted_iou), "the option did nothing"


def test_the_encoder_is_compiled_on_request(tiny, make_image, monkeypatch):
    tensors, path = tiny
    torch.save(tensors, path)
    compiled = []

    def note(module, mode):
        compiled.append((type(module).__name__, mode))

    monkeypatch.setattr(torch.nn.Module, "compile", note)
    load_mask_generator("sam_vit_b", path, **OPTIONS)
    assert compiled == []
    for option in (True, "reduce-overhead"):
        load_mask_generator("sam_vit_b", path, compiled=option, **OPTIONS)
    expected = [("ImageEncoderViT", None), ("ImageEncoderViT", "reduce-overhead")]
    assert compiled == expected
    with pytest.raises(ValueError, match="true, false or 'reduce-overhead', got 'fast'"):
        load_mask_generator("sam_vit_b", path, compiled="fast", **OPTIONS)


@pytest.mark.parametrize("name", ["sam_vit_b", "mobile_sam", "sam2_hiera_tiny", "edgetam"])
def test_unknown_options_are_told_before_the_file_is_read(name):
    said = rf"{name} has no option output_mode; it has .*crop_n_layers.*points_per_side.*prompting"
    with pytest.raises(TypeError, match=said) as failure:
        load_mask_generator(name, "there_is_no_such_file.pth", output_mode="rle")
    assert ("fused_attention" in str(failure.value)) == (name == "sam_vit_b")
    assert "point_source" not in str(failure.value)


@pytest.mark.parametrize("name", ["sam_vit_h", "sam_vit_l", "sam_vit_b"])
def test_without_a_checkpoint_the_command_that_gets_it_is_named(name, monkeypatch):
    monkeypatch.setitem(sam_model_registry, name.removeprefix("sam_"), None)  # nothing is built
    with pytest.raises(CheckpointError, match=f"objectomaly checkpoints download {name}"):
        load_mask_generator(name)


def test_tensors_that_do_not_fit_are_named(tiny):
    tensors, path = dict(tiny[0]), tiny[1]
    del tensors["mask_decoder.iou_token.weight"]
    tensors["prompt_encoder.no_mask_embed.weight"] = torch.zeros(1, 7)
    tensors["image_encoder.blocks.2.norm1.weight"] = torch.zeros(32)
    torch.save(tensors, path)
    with pytest.raises(CheckpointError) as caught:
        load_mask_generator("sam_vit_b", path)
    message = str(caught.value)
    assert "1 missing: mask_decoder.iou_token.weight" in message
    assert "prompt_encoder.no_mask_embed.weight [1, 7] instead of [1, 64]" in message
    assert "1 unknown: image_encoder.blocks.2.norm1.weight" in message


def test_a_detectors_file_is_refused(tiny):
    path = tiny[1]
    torch.save({"branch1.mod1.conv1.weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="is a checkpoint of rpl, not of sam"):
        load_mask_generator("sam_vit_b", path)


@pytest.mark.slow
def test_golden_of_vit_b(shared_dir, tmp_path):
    """The limits are those that the golden's README suggests."""
    sys.path[:0] = [str(shared_dir / "golden")]
    import deterministic_weights
    from scenes import golden

    shapes = {name: x.shape for name, x in sam_model_registry["vit_b"]().state_dict().items()}
    tensors = {
        name: torch.from_numpy(np.array(value))
        for name, value in deterministic_weights.state_dict(shapes).items()
    }
    path = tmp_path / "sam_vit_b_01ec64.pth"
    torch.save(tensors, path)
    expected = golden(shared_dir / "golden/objectomaly/sam_vit_b/vit_b_360x480.npz")
    generator = load_mask_generator(
        "sam_vit_b", path, points_per_side=8, pred_iou_thresh=0.85,
        stability_score_thresh=0.5, box_nms_thresh=0.9,
    )  # fmt: skip

    result = generator.segment(expected["image_rgb"])

    masks = result.masks.cpu().numpy()
    assert masks.shape == expected["masks"].shape
    for ours, theirs in zip(masks, expected["masks"], strict=True):
        assert (ours & theirs).sum() >= 0.98 * (ours | theirs).sum()
    np.testing.assert_allclose(result.predicted_iou, expected["predicted_iou"], atol=1e-3)
    np.testing.assert_allclose(result.stability_score, expected["stability_score"], atol=0.03)
    np.testing.assert_allclose(result.points, expected["point_coords"].reshape(-1, 2))
    same = (masks == expected["masks"]).all((1, 2))
    xywh = result.boxes.clone()
    xywh[:, 2:] -= xywh[:, :2]  # the package's width is one less than the pixels spanned
    np.testing.assert_array_equal(xywh[same], expected["bbox"][same])
    np.testing.assert_array_equal(result.areas[same], expected["area"][same])
