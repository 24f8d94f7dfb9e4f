"""ONNX models whose weights lie elsewhere, which loop, or whose operators are not ONNX's."""

import os

import numpy as np
import pytest

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.onnx_files import check_onnx, read_metadata

onnx = pytest.importorskip("onnx", reason="onnx is not installed")

WEIGHTS = np.arange(12, dtype=np.float32)


def weights_in(location):
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[4, 3, 1, 1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("length", "48"), ("location", location)):
        tensor.external_data.add(key=key, value=value)
    return tensor


def in_initializer(graph, tensor):
    graph.initializer.append(tensor)


def in_constant(graph, tensor):
    graph.node.insert(0, onnx.helper.make_node("Constant", [], ["w"], value=tensor))


def in_a_branch(graph, tensor):
    branch = onnx.helper.make_graph([], "branch", [], [], [tensor])
    graph.node.insert(0, onnx.helper.make_node("If", ["c"], ["w"], then_branch=branch))


def in_a_sparse_tensor(graph, tensor):
    graph.sparse_initializer.add(values=tensor)


PLACES = [in_initializer, in_constant, in_a_branch, in_a_sparse_tensor]


@pytest.fixture
def write(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for place in (folder, tmp_path):
        WEIGHTS.tofile(place / "w.bin")

    def make(place, location, domain="", functions=()):
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node("Conv", ["x", "w"], ["y"], domain=domain)], "g", [], []
        )
        place(graph, weights_in(location))
        model = onnx.helper.make_model(graph, functions=functions)
        (folder / "net.onnx").write_bytes(model.SerializeToString())
        return folder / "net.onnx"

    return make


@pytest.mark.parametrize("place", PLACES)
def test_weights_beside_the_model_are_fine(write, place):
    check_onnx(write(place, "w.bin"))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "location", ["../w.bin", "{top}/w.bin", "a/../w.bin", "link.bin", "up/w.bin"]
)
def test_weights_elsewhere_are_refused(write, tmp_path, place, location):
    (tmp_path / "model" / "link.bin").symlink_to(tmp_path / "w.bin")
    (tmp_path / "model" / "up").symlink_to(tmp_path)
    path = write(place, location.replace("{top}", str(tmp_path)))
    with pytest.raises(CheckpointError, match="outside of its folder"):
        check_onnx(path)


def test_weights_that_are_missing_or_no_file(write, tmp_path):
    os.mkfifo(tmp_path / "model" / "pipe")
    for location in ("none.bin", "pipe"):
        with pytest.raises(CheckpointError, match=f"needs its weights, '{location}'"):
            check_onnx(write(in_initializer, location))


def test_other_operators_are_refused_unless_the_model_defines_them(write):
    with pytest.raises(CheckpointError, match=r"operators of 'my\.ops'"):
        check_onnx(write(in_initializer, "w.bin", domain="my.ops"))
    function = onnx.helper.make_function("my.ops", "Conv", ["x", "w"], ["y"], [], [])
    check_onnx(write(in_initializer, "w.bin", domain="my.ops", functions=[function]))
    check_onnx(write(in_initializer, "w.bin", domain="com.microsoft"))


def test_what_functions_hold_is_checked(write):
    constant = onnx.helper.make_node("Constant", [], ["c"], value=weights_in("../w.bin"))
    function = onnx.helper.make_function("a", "F", [], ["c"], [constant], [])
    with pytest.raises(CheckpointError, match="outside of its folder"):
        check_onnx(write(in_initializer, "w.bin", functions=[function]))


def calling(name, *called, domain="own"):
    """A function `name` that calls others, one after the other."""
    nodes = [
        onnx.helper.make_node(other, [f"x{at}"], [f"x{at + 1}"], domain=domain)
        for at, other in enumerate(called)
    ]
    return onnx.helper.make_function("own", name, ["x0"], [f"x{len(nodes)}"], nodes, [])


@pytest.mark.parametrize("operator", ["Loop", "Scan", "SequenceMap"])
@pytest.mark.parametrize("in_function", [False, True])
def test_loops_are_refused(write, operator, in_function):
    body = onnx.helper.make_graph([], "body", [], [])
    loop = onnx.helper.make_node(operator, [], ["w"], body=body, domain="ai.onnx")
    functions = [onnx.helper.make_function("a", "F", [], ["w"], [loop], [])] * in_function

    def in_a_branch_of_a_branch(graph, tensor):
        if not in_function:
            inner = onnx.helper.make_graph([loop], "inner", [], [])
            branch = onnx.helper.make_node("If", ["c"], ["w"], then_branch=inner)
            outer = onnx.helper.make_graph([branch], "outer", [], [])
            graph.node.add().CopyFrom(onnx.helper.make_node("If", ["c"], ["w"], else_branch=outer))

    path = write(in_a_branch_of_a_branch, "w.bin", functions=functions)
    with pytest.raises(CheckpointError, match=f"its operator {operator} may run without an end"):
        check_onnx(path)


@pytest.mark.parametrize("depth", [10, 40])
def test_functions_that_call_each_other_twice_may_not_multiply(write, depth):
    chain = [calling(f"f{n}", f"f{n - 1}", f"f{n - 1}") for n in range(1, depth)]
    functions = [calling("f0"), *chain, calling("Conv", f"f{depth - 1}")]
    path = write(in_initializer, "w.bin", domain="own", functions=functions)
    if depth == 10:
        check_onnx(path)
        return
    with pytest.raises(CheckpointError, match="functions that call each other"):
        check_onnx(path)


def test_functions_that_call_themselves_are_refused(write):
    functions = [calling("Conv", "g"), calling("g", "Conv")]
    path = write(in_initializer, "w.bin", domain="own", functions=functions)
    with pytest.raises(CheckpointError, match="functions that call each other"):
        check_onnx(path)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_damaged_model(write, kept):
    path = write(in_initializer, "w.bin")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(ValueError, match="damaged at byte"):
        check_onnx(path)


@pytest.mark.parametrize(
    "entry",
    [
        b"\x12\x08../w.bin\n\x08location",  # the value first
        b"\n\x88\x00location\x12\x88\x80\x00../w.bin",  # lengths in more bytes than needed
        b"\n\x08location\x12\x05w.bin\x12\x08../w.bin",  # two values
    ],
)
def test_unusual_encodings_hide_nothing(write, entry):
    path = write(in_initializer, "../w.bin")
    data = path.read_bytes()
    usual = b"\n\x08location\x12\x08../w.bin"
    at = data.index(usual)
    head = bytearray(data[:at])
    for length in (at - 1, data.rindex(b"*", 0, at) + 1, data.index(b":") + 1):
        head[length] += len(entry) - len(usual)  # of the entry, its tensor and the graph
    path.write_bytes(bytes(head) + entry + data[at + len(usual) :])
    assert onnx.load(path, load_external_data=False).graph.initializer[0].external_data[1].value
    with pytest.raises(CheckpointError, match="outside of its folder"):
        check_onnx(path)


def test_metadata_are_read_without_the_package(tmp_path):
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], []))
    onnx.helper.set_model_props(model, {"threshold": "0.5", "empty": "", "long": "ä" * 5000})
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    assert read_metadata(tmp_path / "net.onnx") == {
        "threshold": "0.5", "empty": "", "long": "ä" * 5000,
    }  # fmt: skip


@pytest.mark.parametrize("content", [b"", b"no model", b"\x72\x05\x0a\x09abc"])
def test_metadata_of_no_model(tmp_path, content):
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"."):
        read_metadata(tmp_path / "net.onnx")
