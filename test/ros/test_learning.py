"""The service ~/learn through the graph."""

import itertools
import time

import pytest
from domains import next_domain

pytest.importorskip("rclpy", reason="the service needs rclpy: run under scripts/env")

import graph as g
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool
from tiny_embedded import OBSTACLE, SIGN, street, write_tiny_network

from objectomaly_ros.detectors.memory import Memory

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def domain():
    return next_domain()


@pytest.fixture
def graph(domain):
    graph = g.Graph(domain)
    yield graph
    graph.close()


def ask(graph, learn):
    return graph.call(SetBool, f"{g.NODE}/learn", SetBool.Request(data=learn))


def test_live_images_become_the_memory_in_use(domain, graph, tmp_path):
    weights, out = write_tiny_network(tmp_path / "tiny.onnx"), tmp_path / "normal.safetensors"
    node = g.NodeProcess(
        domain,
        **{
            "detector.name": "embedded",
            "detector.checkpoint": str(weights),
            "detector.options": ["input_size=96"],
            "detector.memory_out": str(out),
            "masks.name": "none",
            "device": "cpu",
        },
    )
    try:
        node.wait_log("active on cpu")
        scores = graph.listen(Image, f"{g.NODE}/score")
        publisher = graph.publisher("/image")
        stamps = itertools.count(1)

        def score():
            image = street(next(stamps), obstacle=True)
            count = len(scores)
            g.wait_for(
                lambda: (
                    publisher.publish(g.image_message(next(stamps), image))
                    or time.sleep(0.05)
                    or len(scores) > count
                ),
                "a score",
            )
            return g.array_of(scores[-1])

        refused = ask(graph, False)
        assert not refused.success
        assert "call with true first" in refused.message
        before = score()
        assert before[SIGN].mean() > before[OBSTACLE].mean() - 0.05

        assert ask(graph, True).success
        assert not ask(graph, True).success
        for seed in range(15):
            publisher.publish(g.image_message(next(stamps), street(seed)))
            time.sleep(0.1)
        answer = ask(graph, False)
        assert answer.success, answer.message
        node.wait_log("the memory is in use")
        after = score()
        assert after[SIGN].max() < after[OBSTACLE].min()
        assert Memory.load(out).calibration.images >= 2
        values = next(v for _, _, v in graph.diagnostics().values() if "device" in v)
        assert values["memory of normal driving"] == "in use"
    finally:
        node.close()


def test_another_detector_is_told(domain, graph):
    node = g.NodeProcess(
        domain, **{"detector.name": "simple_models:RednessDetector", "masks.name": "none"}
    )
    try:
        node.wait_log("active on")
        answer = ask(graph, True)
        assert not answer.success
        assert "cannot use a memory" in answer.message
    finally:
        node.close()
