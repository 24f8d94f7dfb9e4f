"""A tiny network with the embedded detector's inputs and outputs, which fires on red."""

from pathlib import Path

import numpy as np
import pytest

FEATURES = ("features8", "features16")


def write_tiny_network(
    path: Path, *, seed: int = 0, features: bool = True, familiar: str | None = None
) -> Path:
    """Write the network as ONNX; its features are random projections of the colours."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    from objectomaly_ros.detectors.embedded import FORMAT

    random = np.random.default_rng(seed)
    logits = np.zeros((12, 3, 2, 2), np.float32)
    logits[-1] = np.array([40, -40, 0])[:, None, None] / 4  # red minus green
    bias = np.zeros(12, np.float32)
    bias[3], bias[-1] = 1, -4  # all road, and normal
    kernels = {
        "k": logits,
        "b": bias,
        "k8": random.normal(0, 1 / 8, (40, 3, 8, 8)).astype(np.float32),
        "k16": random.normal(0, 1 / 16, (112, 3, 16, 16)).astype(np.float32),
    }
    outputs = ', float[1, 40, "a", "b"] features8, float[1, 112, "c", "d"] features16'
    model = onnx.parser.parse_model(f"""
        <ir_version: 7, opset_import: ["" : 13]>
        net (float[1, 3, "h", "w"] x, int64[2] size_at_stride_16, int64[2] size_at_stride_8)
            => (float[1, 12, "p", "q"] logits{outputs if features else ""})
        <int64[2] zeros = {{0, 0}}, int64[2] axes = {{2, 3}}> {{
            logits = Conv<kernel_shape = [2, 2], strides = [2, 2]>(x, k, b)
            fine = Conv<kernel_shape = [8, 8], strides = [8, 8]>(x, k8)
            coarse = Conv<kernel_shape = [16, 16], strides = [16, 16], pads = [0, 0, 8, 8]>(x, k16)
            features8 = Slice(fine, zeros, size_at_stride_8, axes)
            features16 = Slice(coarse, zeros, size_at_stride_16, axes)
        }}
    """)
    for name, values in kernels.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    texts = {"format": FORMAT, "threshold": "0.5"}
    for key, value in (texts if familiar is None else {**texts, "familiar": familiar}).items():
        model.metadata_props.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


def street(seed: int = 0, *, sign: bool = True, obstacle: bool = False) -> np.ndarray:
    """A noisy grey road with a red sign, on which the network fires, and maybe a magenta box."""
    random = np.random.default_rng(seed)
    image = np.full((96, 128, 3), 110, np.float64)
    image[:32] = (120, 150, 190)
    if sign:
        image[40:56, 16:32] = (200, 60, 60)
    if obstacle:
        image[56:88, 80:112] = (200, 60, 200)
    return np.clip(image + random.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


SIGN = np.s_[42:54, 18:30]
OBSTACLE = np.s_[60:84, 84:108]
