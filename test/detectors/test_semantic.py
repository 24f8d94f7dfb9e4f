"""Exported per-pixel networks as detectors."""

import base64
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.detectors import load_detector, pixel_rules

CLASSES = 5


class Net(nn.Module):
    """Logits at a quarter of the input, packed as asked."""

    def __init__(self, packed: str = "tensor") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, CLASSES, 5, stride=4, padding=2)
        self.packed = packed

    def forward(self, x):
        logits = self.conv(x)
        if self.packed == "dict":
            return {"aux": logits * 0, "out": logits}
        return (logits, logits * 0) if self.packed == "tuple" else logits


@pytest.fixture
def export(tmp_path):
    def write(network, size=(64, 96)):
        path = tmp_path / "net.pt"
        with torch.no_grad():
            torch.jit.trace(network.eval(), torch.zeros(1, 3, *size), strict=False).save(str(path))
        return path

    return write


def logits_by_hand(network, image, padded=None):
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    pixels = torch.from_numpy(((image - mean) / std).astype(np.float32)).permute(2, 0, 1)[None]
    height, width = image.shape[:2]
    padded = padded or (height, width)
    pixels = nn.functional.pad(pixels, (0, padded[1] - width, 0, padded[0] - height))
    with torch.no_grad():
        logits = nn.functional.interpolate(network.conv(pixels), padded, mode="bilinear")
    return logits[0, :, :height, :width]


@pytest.mark.parametrize("packed", ["tensor", "tuple", "dict"])
@pytest.mark.parametrize("rule", ["msp", "max_logit", "entropy", "energy"])
def test_rules_on_the_networks_logits(export, street, packed, rule):
    network = Net(packed)
    detector = load_detector("semantic", checkpoint=export(network), rule=rule, road=3)
    detection = detector.detect(street)
    logits = logits_by_hand(network, street)
    wanted = pixel_rules.RULES[rule](logits).numpy()
    np.testing.assert_allclose(detection.score, wanted, atol=1e-5)
    np.testing.assert_array_equal(detection.road, logits.argmax(0).numpy() == 3)
    assert detection.score.dtype == np.float32


def test_padding_is_cropped(export, street):
    network = Net()
    detector = load_detector("semantic", checkpoint=export(network), multiple=32)
    wanted = pixel_rules.msp(logits_by_hand(network, street, (96, 128))).numpy()
    np.testing.assert_allclose(detector.score(street), wanted, atol=1e-5)


def test_input_size_and_no_road(export, street):
    detector = load_detector("semantic", checkpoint=export(Net()), input_size=32, road=None)
    detection = detector.detect(street)
    assert detection.score.shape == street.shape[:2]
    assert detection.road is None


@pytest.mark.parametrize("options", [{"multiple": 0}, {"mean": (1, 2)}, {"std": (1,)}])
def test_options_out_of_range(export, options):
    with pytest.raises(ValueError, match=r"three numbers, .* and multiple at least 1; got"):
        load_detector("semantic", checkpoint=export(Net()), **options)


def test_a_road_that_is_no_class_is_told(export, street):
    detector = load_detector("semantic", checkpoint=export(Net()), road=19)
    with pytest.raises(ValueError, match="road is class 19, but the network has the classes 0 to"):
        detector.detect(street)


def test_not_a_torchscript_file(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="not a TorchScript archive"):
        load_detector("semantic", checkpoint=path)
    with pytest.raises(CheckpointError, match="needs an ONNX or TorchScript file"):
        load_detector("semantic", checkpoint=tmp_path / "none.pt")
    with pytest.raises(ValueError, match="no rule 'luck'"):
        load_detector("semantic", checkpoint=path, rule="luck")


def test_torchscript_that_writes_files_is_refused(tmp_path):
    class Writing(Net):
        def forward(self, x):
            torch.save(x, "made")
            return self.conv(x)

    path = tmp_path / "net.pt"
    torch.jit.script(Writing()).save(path)
    with pytest.raises(CheckpointError, match=r"uses the operator aten::save.* as ONNX"):
        load_detector("semantic", checkpoint=path)


def test_a_network_without_logits_is_told(export, street):
    class OneChannel(Net):
        def forward(self, x):
            return super().forward(x)[:, :1]

    detector = load_detector("semantic", checkpoint=export(OneChannel()))
    with pytest.raises(CheckpointError, match=r"returned \(1, 1, 18, 25\); expected logits"):
        detector.score(street)


def test_onnx_without_onnxruntime(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as if it were not installed
    path = tmp_path / "net.onnx"
    path.write_bytes(b"x")
    with pytest.raises(ImportError, match="pip install onnxruntime"):
        load_detector("semantic", checkpoint=path)


@pytest.fixture
def export_onnx(tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="torch needs onnxscript to export ONNX")

    def write(network, dynamic=True):
        path = tmp_path / "net.onnx"
        side = torch.export.Dim.DYNAMIC
        torch.onnx.export(
            network.eval(),
            (torch.zeros(1, 3, 64, 96),),
            path,
            dynamic_shapes=({2: side, 3: side},) if dynamic else None,
            verbose=False,
        )
        return path

    return write


def test_an_onnx_file_with_a_side_whose_name_is_no_text_is_refused(tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model = (  # an identity convolution of an input of 1 x 3 x \xa4 x w
        "CAg6iwEKEQoBeAoBaxIBeSIEQ29udjoAEgNuZXQqMwgDCAMIAQgBEAEiJAAAgD8AAAAAAAAAAAAAAAAAAIA/AAAA"
        "AAAAAAAAAAAAAACAP0IBa1odCgF4EhgKFggBEhIKAggBCgIIAwoDEgGkCgMSAXdiHQoBeRIYChYIARISCgIIAQoC"
        "CAMKAxIBaAoDEgF3QgQKABAR"
    )
    path = tmp_path / "net.onnx"
    path.write_bytes(base64.b64decode(model))
    with pytest.raises(CheckpointError, match="not a model that onnxruntime can run"):
        load_detector("semantic", path)


def test_onnx_gives_torchscripts_score(export, export_onnx, street):
    network = Net("tuple")
    script, onnx = export(network), export_onnx(network)
    for rule in pixel_rules.RULES:
        options = {"rule": rule, "road": 3, "multiple": 8}
        ours = load_detector("semantic", checkpoint=script, **options).detect(street)
        theirs = load_detector("semantic", checkpoint=onnx, **options).detect(street)
        assert np.ptp(ours.score) > 0.1
        np.testing.assert_allclose(theirs.score, ours.score, atol=1e-5)
        np.testing.assert_array_equal(theirs.road, ours.road)


def test_onnx_of_one_size_says_so(export_onnx, street):
    path = export_onnx(Net(), dynamic=False)
    with pytest.raises(ValueError, match=r"takes inputs of \[1, 3, 64, 96\], .*input_size=\["):
        load_detector("semantic", checkpoint=path).score(street)
    fitting = load_detector("semantic", checkpoint=path, input_size=[64, 96])
    assert fitting.score(street).shape == street.shape[:2]


def test_onnxruntime_reports_to_nobody(export_onnx, tmp_path):
    path, home = export_onnx(Net()), tmp_path / "home"
    home.mkdir()
    code = (
        "import sys; from objectomaly_ros.detectors import load_detector; "
        "load_detector('semantic', sys.argv[1])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("XDG_CACHE_HOME", None)
    subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=True)
    assert not list(home.rglob("*onnxruntime*"))


def test_onnx_with_weights_elsewhere_is_refused(tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    tensor = onnx.TensorProto(name="w", data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../weights.bin")
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], [tensor]))
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=r"weights lie in '\.\./weights\.bin', outside"):
        load_detector("semantic", checkpoint=tmp_path / "net.onnx")


def test_not_an_onnx_file(tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    path = tmp_path / "net.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(CheckpointError, match=r"net\.onnx is not a model that onnxruntime can run"):
        load_detector("semantic", checkpoint=path)


def test_the_score_on_the_device_is_the_score(export, street):
    detector = load_detector("semantic", checkpoint=export(Net()))
    np.testing.assert_array_equal(detector.score_tensor(street).numpy(), detector.score(street))
