"""The mask-classification detectors: small ones always, the authors' full-size ones on demand."""

import pickle

import numpy as np
import pytest
import torch
from small_networks import HALF_DEVICE

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.detectors import detect, load_detector, mask_classification
from objectomaly_ros.detectors.preprocessing import normalised, resize
from objectomaly_ros.detectors.score_rules import semantic_maps
from tools.gpu.tiny import HALF_BOUNDS

NAMES = ["mask2anomaly", "rba", "uno", "eam", "maskomaly"]


@pytest.mark.parametrize("name", NAMES)
def test_small_network_gives_the_expected_numbers(tiny, street, expected, name):
    detector = tiny(name, input_size=None)
    classes, masks, _ = detector.predict(street)
    score = detector.score(street)
    assert score.shape == street.shape[:2]
    assert score.dtype == np.float32
    expected(
        f"tiny_{name}",
        class_logits=classes.numpy(),
        mask_logits=masks.numpy()[:, ::4, ::4],
        score=score[::2, ::2],
    )


@pytest.mark.parametrize("name", NAMES)
def test_published_size_and_flip_are_the_default(tiny, street, name, monkeypatch):
    detector = tiny(name)
    sizes = []

    def instead(image, size):
        sizes.append(size)
        return resize(image, (32, 32))

    monkeypatch.setattr(mask_classification, "resize", instead)
    detector.score(street)
    once = (70, 100) if name == "rba" else (1024, 1463)
    assert sizes == ([once, once] if name == "mask2anomaly" else [once])


def test_flip_is_the_mean_with_the_mirrored_images_score(tiny, street):
    plain = tiny("mask2anomaly", input_size=None, flip=False)
    both = tiny("mask2anomaly", input_size=None)
    mirrored = plain.score(np.ascontiguousarray(street[:, ::-1]))[:, ::-1]
    assert np.abs(plain.score(street) - mirrored).max() > 0.01
    np.testing.assert_allclose(both.score(street), (plain.score(street) + mirrored) / 2, atol=1e-5)


@pytest.mark.parametrize("input_size", [None, 64, (96, 160)])
@pytest.mark.parametrize("shape", [(70, 100), (33, 97), (1, 1), (64, 5)])
def test_any_image_size_gives_a_score_of_that_size(tiny, street, input_size, shape):
    detector = tiny("rba", input_size=input_size)
    detection = detect(detector, street[: shape[0], : shape[1]])
    assert detection.score.shape == shape
    assert detection.road.shape == shape
    assert np.isfinite(detection.score).all()


@pytest.mark.parametrize("name", ["mask2anomaly", "uno"])
def test_road_is_the_strongest_class(tiny, street, name):
    detector = tiny(name, input_size=None)
    detection = detector.detect(street)
    np.testing.assert_array_equal(detection.score, detector.score(street))
    labels = semantic_maps(*detector.predict(street), classes=19).argmax(0).numpy()
    np.testing.assert_array_equal(detection.road, labels == 0)
    assert detection.road.dtype == np.bool_


def test_mirrored_views_and_repeated_calls_are_fine(tiny, street):
    detector = tiny("rba")
    first = detector.score(street[:, ::-1])
    detector.score(street[:40])
    np.testing.assert_array_equal(detector.score(np.ascontiguousarray(street[:, ::-1])), first)


@pytest.mark.parametrize("precision", HALF_BOUNDS)
@pytest.mark.parametrize("name", NAMES)
def test_half_precision_stays_close(tiny, street, name, precision):
    full = tiny(name, input_size=None).score(street)
    half = tiny(name, input_size=None, precision=precision).score(street)
    assert half.dtype == np.float32
    assert 0 < np.abs(half - full).mean() < HALF_BOUNDS[precision] * np.ptp(full)


def pickled(content, path):
    arrays = {name: tensor.numpy() for name, tensor in content["model"].items()}
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "third_party"}))


def as_safetensors(content, path):
    from safetensors.torch import save_file

    save_file(content["model"], path)


def renamed(tensors, change):
    return {change(name): tensor for name, tensor in tensors.items()}


VARIANTS = {
    "module.": lambda t: renamed(t, lambda n: f"module.{n}"),
    "doubled pixel_decoder": lambda t: renamed(
        t, lambda n: n.replace("pixel_decoder.", "pixel_decoder.pixel_decoder.")
    ),
    "pixel decoder without its prefix": lambda t: renamed(
        t, lambda n: n.replace("pixel_decoder.", "")
    ),
    "static_query": lambda t: renamed(t, lambda n: n.replace("query_feat", "static_query")),
    "frozen batch norms": lambda t: {n: v for n, v in t.items() if "num_batches" not in n},
    "float64": lambda t: {n: v.double() for n, v in t.items()},
    "training's extras": lambda t: {
        **t,
        "criterion.empty_weight": torch.ones(20),
        "flow.transform.weight": torch.ones(3),
        "sem_seg_head.predictor.transformer_cross_attention_layers.0.fusion_layer.weight": (
            torch.ones(100, 200, 1, 1)
        ),
    },
}


def assert_same_weights(detector, other):
    weights, others = (d._network.state_dict() for d in (detector, other))
    for name, tensor in weights.items():
        if "num_batches_tracked" not in name:
            assert torch.equal(tensor, others[name]), name


@pytest.mark.parametrize("variant", VARIANTS)
def test_published_variants_load_alike(tiny, tiny_tensors, variant):
    tensors = tiny_tensors["mask2anomaly"]
    changed = VARIANTS[variant](tensors)
    assert list(changed) != list(tensors) or variant == "float64"
    assert_same_weights(tiny("mask2anomaly"), tiny("mask2anomaly", changed))


@pytest.mark.parametrize("save", [pickled, as_safetensors])
def test_published_containers_load_alike(tiny, save):
    assert_same_weights(tiny("uno"), tiny("uno", save=save))


def without_beginnings(content, path):
    """As detectron2's converters of foreign weights write them."""
    arrays = {
        name.removeprefix("backbone.").removeprefix("sem_seg_head."): tensor.numpy()
        for name, tensor in content["model"].items()
    }
    assert "pixel_decoder.mask_features.weight" in arrays
    path.write_bytes(pickle.dumps({"model": arrays, "matching_heuristics": True}))


@pytest.mark.parametrize("name", ["mask2anomaly", "rba"])
def test_a_file_may_ask_that_names_be_matched_by_their_ends(tiny, name):
    assert_same_weights(tiny(name), tiny(name, save=without_beginnings))


def test_misfits_are_named(tiny, tiny_tensors):
    tensors = dict(tiny_tensors["rba"])
    shape = list(tensors["backbone.norm2.weight"].shape)
    tensors["backbone.norm2.weight"] = torch.ones(7)
    del tensors["sem_seg_head.pixel_decoder.adapter_1.weight"]
    qkv = "backbone.layers.0.blocks.0.attn.qkv.weight"
    tensors[qkv] = tensors[qkv][:-3]
    tensors["sem_seg_head.predictor.transformer_ffn_layers.7.norm.bias"] = torch.ones(3)
    with pytest.raises(CheckpointError) as failure:
        tiny("rba", tensors)
    message = str(failure.value)
    assert "rba.pth does not fit" in message
    assert "1 missing: sem_seg_head.pixel_decoder.adapter_1.weight" in message
    assert f"backbone.norm2.weight [7] instead of {shape}" in message
    assert f"{qkv} [21, 8] instead of [24, 8]" in message
    assert "1 unknown: sem_seg_head.predictor.transformer_ffn_layers.7.norm.bias" in message


def test_a_long_list_of_misfits_is_cut(tiny):
    with pytest.raises(CheckpointError, match=r"and \d+ more") as failure:
        tiny("rba", {"backbone.norm0.weight": torch.ones(8)})
    assert len(str(failure.value)) < 1500


def test_another_detectors_file(tiny, tiny_tensors):
    with pytest.raises(CheckpointError, match="is a checkpoint of mask2anomaly, not of uno"):
        tiny("uno", tiny_tensors["mask2anomaly"])
    with pytest.raises(CheckpointError, match="is a checkpoint of rba, not of mask2anomaly"):
        tiny("mask2anomaly", tiny_tensors["rba"])


def test_without_a_checkpoint():
    with pytest.raises(CheckpointError, match=r"rba needs a checkpoint.*checkpoints list"):
        load_detector("rba")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": "cuda:7"}, "cuda:7.*not there"),
        ({"device": "abacus"}, "abacus"),
        ({"precision": "int3"}, "int3"),
    ],
)
def test_wrong_options(tiny, street, options, said):
    with pytest.raises(ValueError, match=said):
        tiny("rba", **options).score(street)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_wrong_images(tiny, image):
    with pytest.raises((TypeError, ValueError), match="an image must"):
        tiny("rba").score(image)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(HALF_DEVICE is None, reason="no GPU, and this CPU only emulates bfloat16")
@pytest.mark.parametrize("name", ["mask2anomaly", "rba", "uno", "maskomaly"])
def test_half_precision_golden(shared_dir, golden_file, name):
    detector = load_detector(name, checkpoint=golden_file(name), input_size=None, **HALF_DEVICE)
    case = "case_pad" if name == "mask2anomaly" else "network_golden"
    data = np.load(shared_dir / "golden" / name / f"{case}.npz")
    image, wanted = ("image_rgb", "cas") if name == "mask2anomaly" else ("image", "anomaly")
    off = np.abs(detector.score(data[image]) - data[wanted]).mean()
    assert off < 0.1 * np.ptp(data[wanted])


def relative(found, wanted):
    """Greatest difference over the reference's magnitude."""
    wanted = np.asarray(wanted, np.float64)
    return np.abs(np.asarray(found) - wanted).max() / np.abs(wanted).max()


def golden_prediction(detector, image):
    with torch.inference_mode():
        return detector._network(normalised(image, torch.device("cpu"), multiple=32))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_mask2anomaly_golden(shared_dir, golden_file):
    file = golden_file("mask2anomaly")
    detector = load_detector("mask2anomaly", checkpoint=file, input_size=None)
    for case in ("case_a", "case_pad"):
        data = np.load(shared_dir / "golden" / "mask2anomaly" / f"{case}.npz")
        prediction = golden_prediction(detector, data["image_rgb"])
        layers = torch.stack(prediction.layer_class_logits)[:, 0]
        assert relative(layers, data["layer_logits"]) < 1e-4
        assert relative(prediction.class_logits[0], data["pred_logits"]) < 1e-4
        assert relative(prediction.mask_logits[0], data["pred_masks"]) < 1e-4
        maps = semantic_maps(*detector.predict(data["image_rgb"]))
        assert np.abs(maps[:, ::4, ::4].numpy() - data["sem_seg_stride4"][:19]).max() < 1e-4
        assert relative(detector.score(data["image_rgb"]), data["cas"]) < 1e-4


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("case", ["case_b", "case_b720"])
def test_mask2anomaly_golden_at_the_published_size(shared_dir, golden_file, case):
    detector = load_detector("mask2anomaly", checkpoint=golden_file("mask2anomaly"))
    data = np.load(shared_dir / "golden" / "mask2anomaly" / f"{case}.npz")
    classes, masks, _ = detector.predict(data["image_rgb"])
    assert relative(classes, data["pred_logits"]) < 1e-2
    assert relative(masks[:, ::8, ::8], data["pred_masks_stride8"]) < 1e-2
    assert relative(detector.score(data["image_rgb"]), data["cas"]) < 1e-4


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["rba", "uno", "maskomaly"])
def test_swin_golden(shared_dir, golden_file, name):
    detector = load_detector(name, checkpoint=golden_file(name), input_size=None)
    data = np.load(shared_dir / "golden" / name / "network_golden.npz")
    prediction = golden_prediction(detector, data["image"])
    assert relative(prediction.class_logits[0], data["pred_logits"]) < 1e-4
    assert relative(prediction.mask_logits[0], data["pred_masks"]) < 1e-4
    first = "aux_pred_logits" if name == "rba" else "aux0_pred_logits"
    assert relative(prediction.layer_class_logits[0][0], data[first]) < 1e-4
    assert relative(detector.score(data["image"]), data["anomaly"]) < 1e-4
    if name == "maskomaly":
        short = load_detector(name, checkpoint=golden_file(name), input_size=128)
        found = short.score(data["image_resized"])
        assert relative(found, data["anomaly_resized_short128"]) < 1e-4
    else:
        found = detector.score(data["image_unaligned"])
        assert relative(found, data["anomaly_unaligned"]) < 1e-4
