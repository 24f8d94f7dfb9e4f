"""The embedded detector's network run by torch, against the same network as ONNX."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from objectomaly_ros.benchmark.street import draw_street
from objectomaly_ros.detectors.embedded import (
    FORMAT,
    ROAD,
    TORCH_WEIGHTS,
    WEIGHTS,
    EmbeddedDetector,
    OnnxMaps,
    scale_image,
)
from objectomaly_ros.detectors.embedded_net import CLASSES, EmbeddedNet, NetConfig
from objectomaly_ros.detectors.embedded_torch import TorchMaps, load_network
from objectomaly_ros.detectors.onnx_network import OrtNetwork
from objectomaly_ros.detectors.opencv_network import OpenCvNetwork


@pytest.fixture(scope="module")
def detector() -> EmbeddedDetector:
    return EmbeddedDetector(TORCH_WEIGHTS)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth random image, as a camera might give."""
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("shape", [(360, 480), (720, 1280), (361, 479), (640, 359), (9, 9)])
@pytest.mark.parametrize("runtime", [OrtNetwork, OpenCvNetwork])
def test_onnx_gives_torchs_maps(shape: tuple[int, int], runtime: type) -> None:
    image = scale_image(picture(*shape), 360)
    score, margin = TorchMaps(TORCH_WEIGHTS, "cpu", "float32")(image)
    onnx_score, onnx_margin = OnnxMaps(WEIGHTS, runtime(WEIGHTS))(image)
    np.testing.assert_allclose(onnx_score, score, rtol=0, atol=1e-4)
    np.testing.assert_allclose(onnx_margin, margin, rtol=0, atol=1e-3)


@pytest.mark.parametrize("flip", [False, True])
def test_both_checkpoints_of_the_package_give_one_detection(flip: bool) -> None:
    theirs, ours = EmbeddedDetector(TORCH_WEIGHTS, flip=flip), EmbeddedDetector(flip=flip)
    assert theirs.metadata == ours.metadata
    image = picture(301, 503)
    expected, found = theirs.detect(image), ours.detect(image)
    np.testing.assert_allclose(found.score, expected.score, rtol=0, atol=1e-4)
    assert np.mean(found.road != expected.road) < 1e-3


@pytest.mark.parametrize("size", [(360, 480), (150, 200), (700, 500)])
@pytest.mark.parametrize("checkpoint", [TORCH_WEIGHTS, WEIGHTS])
@pytest.mark.parametrize("flip", [False, True])
def test_the_score_stays_on_the_device_on_request(
    size: tuple[int, int], checkpoint: Path, flip: bool
) -> None:
    detector = EmbeddedDetector(checkpoint, flip=flip)
    image = picture(*size)
    score = detector.score_tensor(image)
    assert score.dtype == torch.float32
    np.testing.assert_allclose(score.numpy(), detector.score(image), rtol=0, atol=1e-6)


def test_fused_network_equals_the_trained_one() -> None:
    x = torch.from_numpy(picture(360, 480)).permute(2, 0, 1)[None].float() / 255
    plain, fused = load_network(TORCH_WEIGHTS)[0], load_network(TORCH_WEIGHTS)[0].fuse()
    assert len(list(plain.buffers())) > len(list(fused.buffers()))
    with torch.inference_mode():
        torch.testing.assert_close(plain(x), fused(x), rtol=0, atol=1e-3)


def test_network_keeps_positions_at_odd_sizes() -> None:
    # Cut four columns off the right: the left part must not move (only the border may differ).
    net = load_network(TORCH_WEIGHTS)[0]
    x = torch.from_numpy(draw_street(240, 320)).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        whole, cut = net(x), net(x[..., :-3])
    assert cut.shape[-1] == 159
    near = (whole[..., :40] - cut[..., :40]).abs().mean()
    print(f"moved by {near / whole.std():.4f}")
    assert near < 0.05 * whole.std()


def test_the_road_is_the_networks_class_of_that_name() -> None:
    assert CLASSES[ROAD] == "road"


def test_a_device_that_torch_does_not_know() -> None:
    with pytest.raises(ValueError, match="device 'gpu' is not one that torch knows"):
        EmbeddedDetector(device="gpu")


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
    with safe_open(TORCH_WEIGHTS, framework="pt") as file:
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
    config = NetConfig(decoder=8, fine=8)
    torch.manual_seed(0)
    net = EmbeddedNet(config)
    tensors = {k: v for k, v in net.state_dict().items() if v.is_floating_point()}
    path = tmp_path / "tiny.safetensors"
    save_file(tensors, path, {"format": FORMAT, "config": json.dumps(config.as_dict())})
    loaded, metadata = load_network(path)
    assert metadata["threshold"] == 0.5
    assert loaded.config == config
    x = torch.rand(1, 3, 32, 48)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(x), net.eval()(x))
        assert loaded(x).shape == (1, len(CLASSES) + 1, 16, 24)


@pytest.mark.parametrize(
    "texts",
    [
        {"config": "[1]"},
        {"config": "not JSON"},
        {"config": json.dumps({"decoder": 10**6})},
        {"config": json.dumps({"decoder": 8, "fine": 0})},
        {"config": json.dumps({"decoder": 8, "widths": [8] * 5})},
        {"threshold": '"high"'},
    ],
)
def test_damaged_metadata_are_refused(tmp_path: Path, texts: dict[str, str]) -> None:
    with safe_open(TORCH_WEIGHTS, framework="pt") as file:
        tensors, metadata = {"a": torch.zeros(1)}, {**file.metadata(), **texts}
    save_file(tensors, tmp_path / "damaged.safetensors", metadata)
    with pytest.raises(ValueError, match=r"damaged\.safetensors has damaged metadata"):
        EmbeddedDetector(tmp_path / "damaged.safetensors")
