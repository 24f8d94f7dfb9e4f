"""The choice of the runtime of ONNX networks, and its threads."""

import os
import sys

import pytest

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.detectors.embedded import WEIGHTS
from objectomaly_ros.detectors.onnx_network import OrtNetwork, default_threads, load_onnx
from objectomaly_ros.detectors.opencv_network import OpenCvNetwork


def test_onnxruntime_comes_first():
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    assert isinstance(load_onnx(WEIGHTS), OrtNetwork)


def test_opencv_runs_what_onnxruntime_cannot_for_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert isinstance(load_onnx(WEIGHTS), OpenCvNetwork)
    with pytest.raises(ImportError, match="onnxruntime"):
        OrtNetwork(WEIGHTS)


@pytest.mark.parametrize("given", ["1", "3", "", "0", "2,1", "many"])
def test_threads_are_those_of_openmp_or_all_cores(monkeypatch, given):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    cores = len(os.sched_getaffinity(0))
    assert default_threads() == (int(given) if given in ("1", "3") else cores)


@pytest.mark.parametrize("without", [(), ("onnxruntime",)])
def test_a_network_with_loops_is_refused_by_both(tmp_path, monkeypatch, without):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    for name in without:
        monkeypatch.setitem(sys.modules, name, None)
    graph = onnx.helper.make_graph([onnx.helper.make_node("Loop", [], ["y"])], "g", [], [])
    (tmp_path / "loop.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(CheckpointError, match="Loop may run without an end"):
        load_onnx(tmp_path / "loop.onnx")
