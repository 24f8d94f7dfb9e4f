"""SAM 2: official names load, masks fit the image and filters, the pipeline's result is ours."""

import json

import numpy as np
import pytest
import torch

transformers = pytest.importorskip("transformers")

from objectomaly_ros.checkpoints.errors import CheckpointError  # noqa: E402
from objectomaly_ros.masks import load_mask_generator, sam2, sam2_weights  # noqa: E402
from objectomaly_ros.masks.sam.generator import SamMasks  # noqa: E402
from tools.gpu.tiny import SAM2_SIDE as SIDE  # noqa: E402
from tools.gpu.tiny import sam2 as build  # noqa: E402

KEEP_ALL = {"pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1.0}


@pytest.fixture(scope="module")
def network():
    return build()


def scene(height, width):
    """An RGB image of a few rectangles."""
    random = np.random.default_rng(4)
    image = np.full((height, width, 3), 90, np.uint8)
    for _ in range(8):
        top, left = random.integers(0, height - 8), random.integers(0, width - 8)
        image[top : top + height // 3, left : left + width // 4] = random.integers(0, 256, 3)
    return image


def test_masks_are_those_of_transformers_pipeline(network):
    """On a square image of the network's size, where the pipeline places its points rightly."""
    image = scene(SIDE, SIDE)
    generator = SamMasks(
        sam2.Sam2Network(network), points_per_side=4, pred_iou_thresh=0.2,
        stability_score_thresh=0.1, box_nms_thresh=1.0,
    )  # fmt: skip
    result = generator.segment(image)
    processor = transformers.Sam2ImageProcessor(size={"height": SIDE, "width": SIDE})
    pipeline = transformers.pipeline(
        "mask-generation", model=network, image_processor=processor, device="cpu"
    )
    from PIL import Image

    expected = pipeline(
        Image.fromarray(image), points_per_crop=4, pred_iou_thresh=0.2, stability_score_thresh=0.1,
        crops_nms_thresh=1.0,
    )  # fmt: skip
    assert len(expected["masks"]) >= 8
    assert len(result) == len(expected["masks"])
    np.testing.assert_allclose(result.predicted_iou, expected["scores"], atol=1e-5)
    differing = result.masks.cpu().numpy() != np.stack(
        [np.asarray(mask) for mask in expected["masks"]]
    )
    assert differing.sum() <= 4  # a logit within rounding of the cut


@pytest.mark.parametrize("size", [(40, 150), (200, 90)])
def test_every_point_is_asked_where_it_is_and_masks_are_of_the_image(network, size):
    """The image is stretched to the square, so x and y have scales of their own."""
    asked = []

    class Spy(sam2.Sam2Network):
        def decode(self, prepared, points, limit):
            asked.append(points.numpy())
            return super().decode(prepared, points, limit)

    masks = SamMasks(Spy(network), points_per_side=3, **KEEP_ALL).generate(scene(*size))
    assert masks.dtype == np.bool_
    assert masks.shape[1:] == size
    assert len(masks) > 3
    place = (np.arange(3) + 0.5) / 3 * SIDE
    x, y = np.meshgrid(place, place)
    np.testing.assert_allclose(
        np.concatenate(asked), np.stack([x.ravel(), y.ravel()], 1), rtol=1e-6
    )


def test_thresholds(network):
    def count(**options):
        generator = SamMasks(sam2.Sam2Network(network), points_per_side=4, **KEEP_ALL | options)
        return generator.segment(scene(90, 120))

    everything = count()
    middle = float(everything.predicted_iou.median())
    chosen = count(pred_iou_thresh=middle)
    assert 0 < len(chosen) < len(everything)
    assert (chosen.predicted_iou > middle).all()
    assert len(count(box_nms_thresh=0.5)) < len(everything)


def official_tensors(network):
    """The network's tensors under the names of Meta's files, and one of the video memory."""
    back = [
        (r"^vision_encoder.backbone.", "image_encoder.trunk."),
        (r"^(prompt_encoder|mask_decoder)\.", r"sam_\1."),
        (r"^no_memory_embedding$", "no_mem_embed"),
        (r"^vision_encoder\.neck\.convs\.(\d)\.", r"image_encoder.neck.convs.\1.conv."),
        (r"patch_embed\.projection", "patch_embed.proj"),
        (r"shared_embedding.positional_embedding", "pe_layer.positional_encoding_gaussian_matrix"),
        (r"layer_norm(\d|_final)", r"norm\1"),
        (r"mask_embed.conv1", "mask_downscaling.0"),
        (r"mask_embed.norm1", "mask_downscaling.1"),
        (r"mask_embed.conv2", "mask_downscaling.3"),
        (r"mask_embed.norm2", "mask_downscaling.4"),
        (r"mask_embed.conv3", "mask_downscaling.6"),
        (r"upscale_conv1", "output_upscaling.0"),
        (r"upscale_layer_norm", "output_upscaling.1"),
        (r"upscale_conv2", "output_upscaling.3"),
        (r"mlp\.proj_in", "mlp.layers.0"),
        (r"mlp\.proj_out", "mlp.layers.1"),
        (r"(_head|_mlps\.\d)\.proj_out", r"\1.layers.2"),
        (r"(_head|_mlps\.\d)\.layers\.0", r"\1.layers.1"),
        (r"(_head|_mlps\.\d)\.proj_in", r"\1.layers.0"),
        (r"o_proj", "out_proj"),
    ]
    import re

    tensors = {"memory_encoder.out_proj.weight": torch.zeros(2)}
    for name, tensor in network.state_dict().items():
        if name.startswith("shared_image_embedding"):
            continue
        for pattern, replacement in back:
            name = re.sub(pattern, replacement, name)
        tensors[name] = tensor
    points = tensors.pop("sam_prompt_encoder.point_embed.weight")
    for index, row in enumerate(points):
        tensors[f"sam_prompt_encoder.point_embeddings.{index}.weight"] = row[None]
    return tensors


@pytest.fixture
def small(monkeypatch):
    """`sam2_hiera_tiny` is a small network, with other weights than `network`."""
    monkeypatch.setattr(sam2, "architecture", lambda name: build(seed=7))


def same_masks(generator, network):
    image = scene(60, 100)
    expected = SamMasks(sam2.Sam2Network(network), points_per_side=3, **KEEP_ALL).generate(image)
    np.testing.assert_array_equal(generator.generate(image), expected)
    assert expected.any()


def test_an_official_file(small, network, tmp_path):
    path = tmp_path / "sam2_hiera_tiny.pt"
    torch.save({"model": official_tensors(network)}, path)
    same_masks(load_mask_generator("sam2_hiera_tiny", path, points_per_side=3, **KEEP_ALL), network)


def test_a_hugging_face_folder(network, tmp_path):
    network.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "sam2_video"}))
    generator = load_mask_generator("sam2_hiera_tiny", tmp_path, points_per_side=3, **KEEP_ALL)
    same_masks(generator, network)


def test_what_is_wrong_is_said(small, network, tmp_path):
    tensors = official_tensors(network)
    del tensors["sam_mask_decoder.iou_token.weight"]
    tensors["no_mem_embed"] = torch.zeros(1, 1, 9)
    path = tmp_path / "spoilt.pt"
    torch.save({"model": tensors}, path)
    with pytest.raises(CheckpointError) as caught:
        load_mask_generator("sam2_hiera_tiny", path)
    assert "1 missing: mask_decoder.iou_token.weight" in str(caught.value)
    assert "no_memory_embedding [1, 1, 9] instead of [1, 1, 64]" in str(caught.value)
    torch.save({"image_encoder.blocks.0.norm1.weight": torch.zeros(1)}, tmp_path / "sam.pth")
    with pytest.raises(CheckpointError, match="is a checkpoint of sam, not of sam2"):
        load_mask_generator("sam2_hiera_tiny", tmp_path / "sam.pth")
    with pytest.raises(CheckpointError, match="sam2_hiera_tiny needs its weights"):
        load_mask_generator("sam2_hiera_tiny")
    with pytest.raises(CheckpointError, match=r"holds no config\.json"):
        load_mask_generator("sam2_hiera_tiny", tmp_path)
    network.save_pretrained(tmp_path / "folder")
    with pytest.raises(CheckpointError, match="type 'sam2', not one for edgetam"):
        load_mask_generator("edgetam", tmp_path / "folder")
    (tmp_path / "folder" / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load_mask_generator("sam2_hiera_tiny", tmp_path / "folder")
    for damaged in ('{"model_type": ', "[1]", ""):
        (tmp_path / "folder" / "config.json").write_text(damaged)
        with pytest.raises(CheckpointError, match=r"config\.json is damaged .*download the folder"):
            load_mask_generator("sam2_hiera_tiny", tmp_path / "folder")


@pytest.mark.parametrize("name", ["sam2_hiera_tiny", "edgetam"])
def test_the_file_is_looked_at_before_the_network_is_built(name, monkeypatch):
    monkeypatch.setattr(sam2, "architecture", None)
    with pytest.raises(CheckpointError, match=r"no checkpoint at nowhere\.pt"):
        load_mask_generator(name, "nowhere.pt")


@pytest.mark.parametrize(
    ("kind", "count", "width"),
    [("tiny", 309, 96), ("small", 357, 96), ("base_plus", 453, 112), ("large", 741, 144)],
)
def test_published_architectures(kind, count, width):
    """Names and shapes were those of Meta's code for SAM 2 and 2.1 when these counts were made."""
    with torch.device("meta"):
        tensors = sam2_weights.architecture(f"sam2_hiera_{kind}").state_dict()
    assert len(tensors) == count
    assert list(tensors["vision_encoder.backbone.pos_embed_window"].shape) == [1, width, 8, 8]
    assert list(tensors["vision_encoder.neck.convs.0.weight"].shape) == [256, 8 * width, 1, 1]


def test_unknown_architecture():
    with pytest.raises(ValueError, match="'sam2_huge' is not one of sam2_hiera_tiny"):
        sam2_weights.architecture("sam2_huge")


def test_edgetam_without_timm(monkeypatch):
    monkeypatch.setattr(sam2_weights, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="timm"):
        sam2_weights.architecture("edgetam")


def test_edgetam_takes_its_official_names():
    """With its file, masks were those of EdgeTAM's own code, pixel by pixel."""
    pytest.importorskip("timm", reason="timm is not installed: EdgeTAM's encoder comes from it")
    network = sam2_weights.architecture("edgetam")
    tensors = {
        name: tensor for name, tensor in network.state_dict().items() if "_batches" not in name
    }
    assert len(tensors) == 725
    stem = "image_encoder.trunk.body.stem.conv1.bn.running_mean"
    assert set(sam2_weights.renamed({stem: torch.zeros(1)})) < set(tensors)
