"""Export of the embedded network as ONNX, with operators that OpenCV 4.6 computes right."""

from __future__ import annotations

import operator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, fx, nn
from torch.nn import functional as F

from objectomaly_ros.detectors.embedded import FEATURES
from objectomaly_ros.detectors.embedded_net import EmbeddedNet, StridedConv, enlarge
from objectomaly_ros.files.writing import open_replacing

OPSET, IR_VERSION = 13, 7  # the newest that OpenCV 4.6 and ONNX Runtime 1.10 read


class _WithFeatures(nn.Module):
    def __init__(self, net: EmbeddedNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.net.forward_with_features(x)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, StridedConv) or super().is_leaf_module(m, module_qualified_name)


class _Graph:
    """Collects the nodes and tensors of an ONNX graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.crops: list[str] = []

    def add(self, kind: str, output: str, inputs: list[str], **attributes: object) -> None:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))

    def tensor(self, name: str, values: Tensor | np.ndarray) -> str:
        array = values.detach().numpy() if isinstance(values, Tensor) else values
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def layer(self, name: str, inputs: list[str], path: str, module: nn.Module) -> None:
        """Add a convolution or a batch normalisation."""
        if isinstance(module, nn.BatchNorm2d):
            parts = ("weight", "bias", "running_mean", "running_var")
            inputs += [self.tensor(f"{path}.{part}", getattr(module, part)) for part in parts]
            self.add("BatchNormalization", name, inputs, epsilon=module.eps)
            return
        assert isinstance(module, nn.Conv2d), module
        kernel = f"{path}.weight"
        self.add("Cast", kernel, [self.tensor(f"{kernel}.half", module.weight.half())], to=1)
        inputs.append(kernel)
        if module.bias is not None:
            inputs.append(self.tensor(f"{path}.bias", module.bias))
        pads = module.margins if isinstance(module, StridedConv) else module.padding
        self.add(
            "Conv",
            name,
            inputs,
            kernel_shape=module.kernel_size,
            strides=module.stride,
            pads=[pad for pad in pads for _ in range(2)],
            group=module.groups,
        )

    def enlarge(self, name: str, x: str, stride: int) -> None:
        """Add `enlarge` to the size of a map at `stride`.

        Inputs have sides of a multiple of 8, so a doubled map is too large at stride 8 and 16 only.
        """
        doubled = f"{name}.doubled" if stride >= 8 else name
        self.add(
            "Resize",
            doubled,
            [x, "", "scales"],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )
        if stride >= 8:
            self.crops.append(f"size_at_stride_{stride}")
            self.add("Slice", name, [doubled, "zeros", self.crops[-1], "axes"])


def _graph(net: EmbeddedNet) -> onnx.GraphProto:
    graph, whole = _Graph(), _WithFeatures(net)
    modules = dict(whole.named_modules())
    graph.tensor("scales", np.array([1, 1, 2, 2], np.float32))
    graph.tensor("zeros", np.array([0, 0], np.int64))
    graph.tensor("axes", np.array([2, 3], np.int64))
    graph.tensor("zero", np.array(0, np.float32))
    graph.tensor("six", np.array(6, np.float32))
    stride = 32
    nodes = list(_Tracer(autowrap_functions=(enlarge,)).trace(whole).nodes)
    outputs = [part.name for part in nodes[-1].args[0]]
    renamed = dict(zip(outputs[1:], FEATURES, strict=True))
    for node in nodes:
        inputs = [part.name for part in node.args if isinstance(part, fx.Node)]
        constants = [part for part in node.args if isinstance(part, float)]
        if node.op == "call_module":
            graph.layer(node.name, inputs, str(node.target), modules[str(node.target)])
        elif node.target is enlarge:
            stride //= 2
            graph.enlarge(node.name, inputs[0], stride)
        elif node.target is F.relu6:
            graph.add("Clip", node.name, [*inputs, "zero", "six"])
        elif node.op == "call_function":
            kinds = {operator.add: "Add", operator.sub: "Sub", operator.mul: "Mul", F.relu: "Relu"}
            for index, constant in enumerate(constants):
                name = f"{node.name}.{index}"
                inputs.append(graph.tensor(name, np.array([constant], np.float32)))
            graph.add(kinds[node.target], node.name, inputs)
        if node.name in renamed:
            graph.add("Identity", renamed[node.name], [node.name])
    sides: list[str | int] = [1, 3, "height", "width"]
    return helper.make_graph(
        graph.nodes,
        "embedded",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, sides),
            *(helper.make_tensor_value_info(name, TensorProto.INT64, [2]) for name in graph.crops),
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, None, None])
            for name in (outputs[0], *FEATURES)
        ],
        graph.tensors,
    )


def export_onnx(net: EmbeddedNet, path: Path, texts: dict[str, str]) -> None:
    """Write a network in evaluation mode, not fused, and its metadata.

    The batch normalisations stay: folded into the kernels, these would not fit float16. Runtimes
    fold them in float32 when they load the file.

    The graph takes `x` (1, 3, H, W) in [0, 1], H and W multiples of 8, and the (height, width) of
    maps at stride 16 and 8, by which it crops, see `embedded.crop_sizes`. It returns the logits and
    `FEATURES`.
    """
    model = helper.make_model(
        _graph(net),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="objectomaly_ros",
    )
    helper.set_model_props(model, texts)
    onnx.checker.check_model(model, full_check=True)
    with open_replacing(path) as file:
        file.write(model.SerializeToString())
