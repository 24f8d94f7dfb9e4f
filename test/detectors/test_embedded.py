"""The embedded detector: contract, errors, and what it finds on real streets."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from objectomaly_ros.detectors.embedded import WEIGHTS, EmbeddedDetector, network_size
from objectomaly_ros.detectors.embedded_net import CLASSES, EmbeddedNet


@pytest.fixture(scope="module")
def detector() -> EmbeddedDetector:
    return EmbeddedDetector()


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth random image, as a camera might give."""
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize(
    ("height", "width"),
    [(48, 64), (360, 480), (361, 479), (720, 1280), (1080, 1920), (480, 360), (7, 5), (16, 900)],
)
def test_score_has_the_size_of_the_image(
    detector: EmbeddedDetector, height: int, width: int
) -> None:
    found = detector.detect(picture(height, width))
    assert found.score.shape == (height, width)
    assert found.score.dtype == np.float32
    assert found.score.min() >= 0
    assert found.score.max() <= 1
    assert found.road is not None
    assert found.road.shape == (height, width)
    assert found.road.dtype == np.bool_


def test_score_equals_detect_and_is_deterministic(detector: EmbeddedDetector) -> None:
    image = picture(360, 480)
    first = detector.detect(image).score
    np.testing.assert_array_equal(first, detector.detect(image).score)
    np.testing.assert_array_equal(first, detector.score(image))


@pytest.mark.parametrize("size", [(360, 480), (150, 200), (700, 500)])
def test_the_score_stays_on_the_device_on_request(
    detector: EmbeddedDetector, size: tuple[int, int]
) -> None:
    image = picture(*size)
    score = detector.score_tensor(image)
    assert score.dtype == torch.float32
    np.testing.assert_allclose(score.numpy(), detector.score(image), rtol=0, atol=1e-6)


def test_image_is_left_alone_and_need_not_be_contiguous(detector: EmbeddedDetector) -> None:
    image = picture(120, 160)
    copy = image.copy()
    image.setflags(write=False)
    score = detector.score(image)
    np.testing.assert_array_equal(image, copy)
    bgr = np.ascontiguousarray(copy[..., ::-1])
    np.testing.assert_array_equal(detector.score(bgr[..., ::-1]), score)


def test_threads_do_not_disturb_each_other(detector: EmbeddedDetector) -> None:
    images = [picture(96, 128, seed) for seed in range(6)]
    alone = [detector.score(image) for image in images]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(detector.score, images))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_fused_network_equals_the_trained_one(detector: EmbeddedDetector) -> None:
    image = picture(360, 480)
    plain = EmbeddedDetector(fuse=False)
    assert len(list(plain.net.buffers())) > len(list(detector.net.buffers()))
    np.testing.assert_allclose(plain.score(image), detector.score(image), atol=1e-4)


def test_network_keeps_positions_at_odd_sizes() -> None:
    # Cut four columns off the right: the left part must not move (only the border may differ).
    net = EmbeddedDetector().net
    x = torch.from_numpy(picture(128, 256)).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        whole, cut = net(x), net(x[..., :-3])
    assert cut.shape[-1] == 127
    near = (whole[..., :16] - cut[..., :16]).abs().mean()
    assert near < 0.25 * whole.std()


def test_network_size_keeps_the_number_of_pixels_and_the_aspect() -> None:
    assert network_size((360, 480), 360) == (360, 480)
    assert network_size((640, 480), 360) == (480, 360)
    for shape in [(1080, 1920), (360, 640), (64, 48), (400, 1600), (3000, 4000)]:
        height, width = network_size(shape, 360)
        assert height * width == pytest.approx(360 * 480, rel=0.01)
        assert width / height == pytest.approx(shape[1] / shape[0], rel=0.01)
    assert min(network_size((10, 400000), 360)) >= 8


def test_the_frozen_network_is_the_plain_one_at_every_size() -> None:
    detector = EmbeddedDetector(input_size=64)
    plain = EmbeddedDetector(input_size=64, fuse=False)
    for shape in [(60, 80), (61, 97), (97, 61), (33, 130), (150, 20), (9, 9), (200, 301)]:
        image = picture(*shape)
        np.testing.assert_allclose(detector.score(image), plain.score(image), atol=1e-4)


def test_input_size_changes_the_resolution_of_the_network() -> None:
    small = EmbeddedDetector(input_size=128)
    assert small.score(picture(360, 480)).shape == (360, 480)


def test_flip_averages_with_the_mirrored_image(detector: EmbeddedDetector) -> None:
    image = picture(120, 160)
    mirrored = np.ascontiguousarray(image[:, ::-1])
    expected = (detector.score(image) + detector.score(mirrored)[:, ::-1]) / 2
    score = EmbeddedDetector(flip=True).score(image)
    np.testing.assert_allclose(score, expected, atol=1e-5)


def test_threshold_is_that_of_the_checkpoint(detector: EmbeddedDetector) -> None:
    assert 0 < detector.threshold < 1
    assert detector.threshold == detector.metadata["threshold"]


def test_packaged_weights_are_small_and_documented() -> None:
    assert WEIGHTS.stat().st_size < 10e6
    assert (WEIGHTS.parent / "MODEL_CARD.md").exists()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        [[1, 2, 3]],
    ],
)
def test_bad_images_are_refused(detector: EmbeddedDetector, image: object) -> None:
    with pytest.raises((TypeError, ValueError), match=r"an image must .*\(H, W, 3\)"):
        detector.score(image)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "float16"}, "CUDA"),
        ({"precision": "int8"}, "precision"),
        ({"input_size": 8}, "input_size"),
        ({"input_size": "large"}, "input_size is 'large'; want the short side"),
        ({"input_size": None}, "input_size is None; want the short side"),
        ({"device": "gpu"}, "device 'gpu' is not one that torch knows"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EmbeddedDetector(**options)  # type: ignore[arg-type]


def test_missing_checkpoint_names_the_path_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors.*train_embedded"):
        EmbeddedDetector(tmp_path / "nowhere.safetensors")


def test_file_that_is_no_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"not weights at all")
    with pytest.raises(ValueError, match=r"broken\.safetensors is no safetensors file"):
        EmbeddedDetector(path)


def test_checkpoint_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match="no checkpoint of the embedded detector"):
        EmbeddedDetector(path)


def test_wrong_tensors_are_named(tmp_path: Path) -> None:
    with safe_open(WEIGHTS, framework="pt") as file:
        texts = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors["extra.weight"] = tensors.pop("output.weight")
    tensors["output.bias"] = torch.zeros(5)
    path = tmp_path / "wrong.safetensors"
    save_file(tensors, path, texts)
    with pytest.raises(
        ValueError, match=r"missing: output\.weight; .*output\.bias \[5\].*unknown: extra\.weight"
    ):
        EmbeddedDetector(path)


def test_checkpoint_rebuilds_its_own_network(tmp_path: Path) -> None:
    from objectomaly_ros.detectors.embedded_net import NetConfig

    config = NetConfig(widths=(8, 8, 16, 16, 16), depths=(1, 1, 1, 1), decoder=8)
    torch.manual_seed(0)
    net = EmbeddedNet(config)
    tensors = {k: v for k, v in net.state_dict().items() if v.is_floating_point()}
    path = tmp_path / "tiny.safetensors"
    texts = {"format": "objectomaly_ros.embedded/1", "config": json.dumps(config.as_dict())}
    save_file(tensors, path, texts)
    loaded = EmbeddedDetector(path, fuse=False)
    assert loaded.net.config == config
    x = torch.rand(1, 3, 32, 48)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.net(x), net.eval()(x))
        assert loaded.net(x).shape == (1, len(CLASSES) + 1, 16, 24)


@pytest.mark.parametrize(
    "texts",
    [
        {"config": "{}"},
        {"config": "[1]"},
        {"config": "[" * 100_000},
        {"config": "not JSON"},
        {"config": json.dumps({"widths": [8] * 5, "depths": [10**9] * 4, "decoder": 8})},
        {"config": json.dumps({"widths": [10**6] * 5, "depths": [1] * 4, "decoder": 8})},
        {"threshold": "NaN"},
        {"threshold": '"high"'},
    ],
)
def test_damaged_metadata_are_refused(tmp_path: Path, texts: dict[str, str]) -> None:
    with safe_open(WEIGHTS, framework="pt") as file:
        tensors, metadata = {"a": torch.zeros(1)}, {**file.metadata(), **texts}
    save_file(tensors, tmp_path / "damaged.safetensors", metadata)
    with pytest.raises(ValueError, match=r"damaged\.safetensors has damaged metadata"):
        EmbeddedDetector(tmp_path / "damaged.safetensors")


def test_finds_unknown_objects_on_real_streets(
    detector: EmbeddedDetector, shared_dir: Path
) -> None:
    from sklearn.metrics import average_precision_score, roc_curve

    folder = shared_dir / "data" / "street_ood" / "dev"
    scores, truths, agreement = [], [], []
    for path in sorted((folder / "images").glob("*.jpg")):
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        label = cv2.imread(str(folder / "labels_masks" / f"{path.stem}.png"), -1)
        found = detector.detect(image)
        scores.append(found.score[label != 255])
        truths.append(label[label != 255] == 1)
        street = cv2.imread(
            str(shared_dir / "data" / "camvid" / "val" / "labels" / f"{path.stem}.png"), -1
        )
        known = (street < 11) & (label == 0)
        agreement.append(((found.road == (street == 3))[known]).mean())
    score, truth = np.concatenate(scores), np.concatenate(truths)
    false_positive_rate, recall, _ = roc_curve(truth, score)
    fpr95 = false_positive_rate[np.searchsorted(recall, 0.95)]
    auprc = average_precision_score(truth, score)
    print(f"dev: AuPRC {100 * auprc:.1f} FPR95 {100 * fpr95:.1f} road {np.mean(agreement):.3f}")
    assert auprc > 0.50
    assert fpr95 < 0.15
    assert np.mean(agreement) > 0.9
