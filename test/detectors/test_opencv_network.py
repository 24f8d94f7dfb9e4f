"""ONNX networks on OpenCV: constants for inputs, float16 kernels, bounded memory."""

import numpy as np
import pytest

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.detectors.opencv_network import OpenCvNetwork, with_constants

onnx = pytest.importorskip("onnx", reason="onnx is not installed")

KERNEL = np.linspace(-1, 1, 6, dtype=np.float16).reshape(2, 3, 1, 1)


@pytest.fixture
def path(tmp_path):
    """A 1x1 convolution with a float16 kernel, cropped to the input `size`."""
    model = onnx.parser.parse_model("""
        <ir_version: 7, opset_import: ["" : 13]>
        net (float[1, 3, "h", "w"] x, int64[2] size) => (float[1, 2, "a", "b"] y)
        <int64[2] zeros = {0, 0}, int64[2] axes = {2, 3}> {
            kernel = Cast<to = 1>(half)
            all = Conv(x, kernel)
            y = Slice(all, zeros, size, axes)
        }
    """)
    model.graph.initializer.append(onnx.numpy_helper.from_array(KERNEL, "half"))
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def expected(pixels, size):
    values = np.einsum("oi,nihw->nohw", KERNEL[..., 0, 0].astype(np.float32), pixels)
    return values[:, :, : size[0], : size[1]]


def test_further_inputs_and_float16_kernels(path):
    network = OpenCvNetwork(path)
    random = np.random.default_rng(0)
    for shape, size in [((9, 12), (7, 12)), ((20, 8), (20, 3)), ((9, 12), (4, 4))]:
        pixels = random.random((1, 3, *shape), dtype=np.float32)
        found = network(pixels, {"size": size})
        np.testing.assert_allclose(found, expected(pixels, size), atol=1e-6)


def test_a_result_is_not_overwritten_by_the_next_call(path):
    network = OpenCvNetwork(path)
    first = np.ones((1, 3, 8, 8), np.float32)
    found = network(first, {"size": (8, 8)})
    network(first * 5, {"size": (8, 8)})
    np.testing.assert_allclose(found, expected(first, (8, 8)), atol=1e-6)


def test_few_networks_are_kept(path):
    network = OpenCvNetwork(path)
    for side in range(8, 20):
        network(np.ones((1, 3, side, 8), np.float32), {"size": (side, 8)})
    assert len(network._networks) == 4


def test_the_rewritten_model_is_a_model(path):
    model = onnx.load_model_from_string(with_constants(path.read_bytes(), {"size": (300, 5)}))
    onnx.checker.check_model(model, full_check=True)
    assert [entry.name for entry in model.graph.input] == ["x"]
    values = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    assert values["size"].tolist() == [300, 5]
    assert values["half"].dtype == np.float32
    np.testing.assert_array_equal(values["half"], KERNEL.astype(np.float32))


@pytest.mark.parametrize("content", [b"", b"no model", b"\x3a\x05ab", b"\x08\x07"])
def test_what_is_no_network_is_told(tmp_path, content):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"broken\.onnx is (no ONNX|not a) model"):
        OpenCvNetwork(path)(np.ones((1, 3, 8, 8), np.float32))


@pytest.mark.parametrize("cut", [1, 30, 100])
def test_a_model_that_is_cut_off_is_told(path, cut):
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(CheckpointError, match="model"):
        OpenCvNetwork(path)(np.ones((1, 3, 8, 8), np.float32), {"size": (8, 8)})
