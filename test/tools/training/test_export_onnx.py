"""The export as ONNX: any network of the training, checked before the file is written."""

import json

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from objectomaly_ros.detectors.embedded import FORMAT, EmbeddedDetector
from objectomaly_ros.detectors.embedded_net import EmbeddedNet, NetConfig
from tools.training import export_onnx


@pytest.fixture
def checkpoint(tmp_path):
    """A small network that has seen no training, with statistics unlike the defaults."""
    config = NetConfig(decoder=8, fine=8)
    torch.manual_seed(3)
    net = EmbeddedNet(config)
    torch.nn.init.normal_(net.output.weight)  # scores that differ
    for _ in range(3):
        net(torch.rand(2, 3, 64, 96))
    tensors = {k: v for k, v in net.state_dict().items() if v.is_floating_point()}
    tensors = {k: v.half() if v.ndim == 4 else v for k, v in tensors.items()}
    texts = {"format": FORMAT, "config": json.dumps(config.as_dict()), "threshold": "0.25"}
    save_file(tensors, tmp_path / "small.safetensors", texts)
    return tmp_path / "small.safetensors"


def export(monkeypatch, checkpoint, data):
    arguments = ["export_onnx", "--checkpoint", checkpoint, "--data", data, "--images", "3"]
    monkeypatch.setattr("sys.argv", [*map(str, arguments), "--input-size", "96"])
    return export_onnx.main()


def test_the_file_scores_like_its_checkpoint(monkeypatch, capsys, checkpoint, data):
    assert export(monkeypatch, checkpoint, data) == 0
    printed = capsys.readouterr().out
    for folder in ("camvid/val/images", "street_ood/dev/images", "ood_objects"):
        assert f"{folder} " in printed
    ours, theirs = EmbeddedDetector(checkpoint.with_suffix(".onnx")), EmbeddedDetector(checkpoint)
    assert ours.threshold == 0.25
    assert ours.metadata == theirs.metadata
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    image = cv2.resize(noise, (330, 211), interpolation=cv2.INTER_CUBIC)
    score = theirs.score(image)
    assert np.ptp(score) > 0.01
    np.testing.assert_allclose(ours.score(image), score, rtol=0, atol=1e-4)


def test_a_file_that_differs_is_not_written(monkeypatch, capsys, checkpoint, data):
    def tampered(net, path, texts):
        with torch.no_grad():
            net.output.bias.add_(torch.arange(12) / 100)
        export_onnx_to(net, path, texts)

    export_onnx_to = export_onnx.export_onnx
    monkeypatch.setattr(export_onnx, "export_onnx", tampered)
    assert export(monkeypatch, checkpoint, data) == 1
    assert "differs from torch" in capsys.readouterr().out
    assert not checkpoint.with_suffix(".onnx").exists()
