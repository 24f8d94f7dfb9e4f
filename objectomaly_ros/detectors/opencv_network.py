"""Networks in ONNX files on `cv2.dnn`, OpenCV 4.6 and newer."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.onnx_files import check_onnx
from objectomaly_ros.detectors.onnx_network import Sizes

_KEPT = 4
"""Networks in memory, one for each size of the input: 10 MB of weights, and its activations."""

# Field numbers and element types of onnx.proto.
_GRAPH = 7
_NODE, _INITIALIZER, _INPUT, _OUTPUT, _VALUE_NAME = 1, 5, 11, 12, 1
_NODE_INPUT, _NODE_KIND, _ATTRIBUTE = 1, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_FLOAT, _ATTRIBUTE_TYPE = 1, 2, 20
_DIMS, _TYPE, _NAME, _RAW = 1, 2, 8, 9
_FLOAT, _INT64, _FLOAT16 = 1, 7, 10


class OpenCvNetwork:
    """A network on OpenCV.

    OpenCV wants the further inputs of a network as constants, so that each of their values has a
    network of its own. It runs one call at a time.

    Args:
        path: see `onnx_network.load_onnx`, as `threads`.

    Attributes:
        outputs: see `OnnxNetwork`.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        try:
            check_onnx(path)
            self._model = path.read_bytes()
            self.outputs = tuple(_outputs(self._model))
        except ValueError as error:
            raise CheckpointError(f"{path} is no ONNX model: {error}") from error
        self._path = path
        self._networks: OrderedDict[tuple[object, ...], cv2.dnn.Net] = OrderedDict()
        self._lock = threading.Lock()
        if threads is not None:
            cv2.setNumThreads(threads)

    def __call__(
        self, pixels: npt.NDArray[np.float32], sizes: Sizes | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the first output."""
        return self.run(pixels, sizes or {}, self.outputs[:1])[0]

    def run(
        self, pixels: npt.NDArray[np.float32], sizes: Sizes, outputs: Sequence[str]
    ) -> list[npt.NDArray[np.float32]]:
        """See `OnnxNetwork`; OpenCV computes all outputs."""
        with self._lock:
            network = self._network(pixels.shape, sizes)
            network.setInput(pixels)
            # OpenCV 5 wants all names or none. Copies: the next call overwrites the memory.
            found = dict(zip(self.outputs, network.forward(self.outputs), strict=True))
            return [np.array(found[name]) for name in outputs]

    def _network(self, shape: tuple[int, ...], sizes: Sizes) -> cv2.dnn.Net:
        key = (shape, *sizes.items())
        if key not in self._networks:
            while len(self._networks) >= _KEPT:
                self._networks.popitem(last=False)
            try:
                model = np.frombuffer(with_constants(self._model, sizes), np.uint8)
                self._networks[key] = cv2.dnn.readNetFromONNX(model)
            except (cv2.error, ValueError) as error:
                raise CheckpointError(
                    f"{self._path} is not a model that OpenCV {cv2.__version__} can run: {error}"
                ) from error
        self._networks.move_to_end(key)
        return self._networks[key]


def with_constants(model: bytes, constants: Sizes) -> bytes:
    """Return an ONNX model with values for some of its inputs, in terms that OpenCV 4.6 knows.

    It reads no float16 tensor, and the bounds of a Clip only as attributes.

    Raises:
        ValueError: it is damaged.
    """
    result = []
    for number, value in _fields(model):
        if number == _GRAPH and isinstance(value, bytes):
            value = b"".join(_field(*part) for part in _graph_fields(value, constants))
        result.append(_field(number, value))
    return b"".join(result)


def _outputs(model: bytes) -> Iterator[str]:
    for part, graph in _fields(model):
        if part == _GRAPH and isinstance(graph, bytes):
            for number, value in _fields(graph):
                if number == _OUTPUT and isinstance(value, bytes):
                    name = dict(_fields(value)).get(_VALUE_NAME)
                    yield name.decode() if isinstance(name, bytes) else ""


def _graph_fields(graph: bytes, constants: Sizes) -> Iterator[tuple[int, int | bytes]]:
    names = {name.encode() for name in constants}
    values_of = {}
    for number, value in _fields(graph):
        if number == _INITIALIZER and isinstance(value, bytes):
            initializer = dict(_fields(value))
            values_of[initializer.get(_NAME)] = initializer.get(_RAW)
    for number, value in _fields(graph):
        if isinstance(value, bytes):
            if number == _NODE:
                value = _with_bounds(value, values_of)
            if number == _INPUT and dict(_fields(value)).get(_VALUE_NAME) in names:
                continue
            if number == _INITIALIZER:
                value = _widened(value)
        yield number, value
    for name, values in constants.items():
        tensor = _field(_DIMS, len(values)) + _field(_TYPE, _INT64) + _field(_NAME, name.encode())
        yield _INITIALIZER, tensor + _field(_RAW, np.array(values, "<i8").tobytes())


def _with_bounds(node: bytes, values: Mapping[int | bytes | None, int | bytes | None]) -> bytes:
    """Return a node; a Clip with its bounds as attributes."""
    parts = list(_fields(node))
    if dict(parts).get(_NODE_KIND) != b"Clip":
        return node
    inputs = [value for number, value in parts if number == _NODE_INPUT]
    result = [_field(n, v) for n, v in parts if n != _NODE_INPUT or v == inputs[0]]
    for name, bound in zip((b"min", b"max"), inputs[1:], strict=False):
        value = values.get(bound)
        if not isinstance(value, bytes) or len(value) != 4:
            raise ValueError("a Clip has no constant bounds")
        tag = _encoded(_ATTRIBUTE_FLOAT << 3 | 5)  # four bytes
        attribute = _field(_ATTRIBUTE_NAME, name) + tag + value + _field(_ATTRIBUTE_TYPE, _FLOAT)
        result.append(_field(_ATTRIBUTE, attribute))
    return b"".join(result)


def _widened(tensor: bytes) -> bytes:
    parts = list(_fields(tensor))
    if dict(parts).get(_TYPE) != _FLOAT16:
        return tensor
    result = []
    for number, value in parts:
        if number == _TYPE:
            value = _FLOAT
        elif number == _RAW and isinstance(value, bytes):
            value = np.frombuffer(value, "<f2").astype("<f4").tobytes()
        result.append(_field(number, value))
    return b"".join(result)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a protobuf message."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        value, at = _varint(message, at)
        if tag & 7 == 0:
            yield tag >> 3, value
        elif tag & 7 == 2 and at + value <= len(message):
            yield tag >> 3, message[at : at + value]
            at += value
        else:
            raise ValueError(f"it is damaged at byte {at} of a message")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(at, min(at + 10, len(message))):
        value |= (message[index] & 127) << 7 * (index - at)
        if message[index] < 128:
            return value, index + 1
    raise ValueError(f"it is damaged at byte {at} of a message")


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _encoded(number << 3) + _encoded(value)
    return _encoded(number << 3 | 2) + _encoded(len(value)) + value


def _encoded(value: int) -> bytes:
    result = bytearray()
    while value > 127:
        result.append(value & 127 | 128)
        value >>= 7
    return bytes([*result, value])
