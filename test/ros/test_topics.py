"""The table of topics, which the documentation prints, is the node's graph."""

import os

import pytest

pytest.importorskip("rclpy", reason="the node needs rclpy and built messages: scripts/env")

import graph as g
from rclpy.qos import ReliabilityPolicy

from objectomaly_ros.ros.topics import DIAGNOSTICS, INPUTS, OUTPUTS, SERVICES

pytestmark = pytest.mark.ros

STANDARD = ("parameter", "transition", "rosout", "bond", "describe", "get_", "set_", "list_")
OTHERS = ("/parameter", "/rosout", "/bond", "/tf", "/clock")
THEIRS = ("vision_msgs", "autoware_perception_msgs", "tier4_perception_msgs")


def full(name):
    return name.replace("~", g.NODE) if name[0] in "~/" else f"/{name}"


@pytest.fixture(scope="module")
def graph():
    domain = 1 + os.getpid() * 17 % 100
    node = g.NodeProcess(
        domain, **{"detector.name": "precomputed", "masks.name": "none", "depth.use": True}
    )
    graph = g.Graph(domain)
    try:
        g.wait_for(lambda: graph.node.count_subscribers("/image"), "the active node")
        g.wait_for(
            lambda: ("objectomaly", "/") in graph.node.get_node_names_and_namespaces(), "its name"
        )
        yield graph.node
    finally:
        graph.close()
        node.close()


def names_of(found):
    ours = {name: types[0].replace("/msg/", "/").replace("/srv/", "/") for name, types in found}
    standard = (*(f"{g.NODE}/{word}" for word in STANDARD), *OTHERS)
    return {name: kind for name, kind in ours.items() if not name.startswith(standard)}


def test_inputs_are_those_of_the_graph(graph):
    wanted = [topic for topic in INPUTS if topic.name != "image/compressed"]
    found = names_of(graph.get_subscriber_names_and_types_by_node("objectomaly", "/"))
    assert found == {full(topic.name): topic.type for topic in wanted}
    for topic in wanted:
        (end,) = graph.get_subscriptions_info_by_topic(full(topic.name))
        reliable = end.qos_profile.reliability == ReliabilityPolicy.RELIABLE
        assert reliable == topic.reliable, topic.name


def test_outputs_are_those_of_the_graph(graph):
    found = names_of(graph.get_publisher_names_and_types_by_node("objectomaly", "/"))
    table = {full(topic.name): topic for topic in (*OUTPUTS, DIAGNOSTICS)}
    always = {name for name, topic in table.items() if not topic.type.startswith(THEIRS)}
    assert always <= set(found) <= set(table)
    for name, kind in found.items():
        assert kind == table[name].type, name
        (end,) = graph.get_publishers_info_by_topic(name)
        reliable = end.qos_profile.reliability == ReliabilityPolicy.RELIABLE
        assert reliable == table[name].reliable, name


def test_services_are_those_of_the_graph(graph):
    found = names_of(graph.get_service_names_and_types_by_node("objectomaly", "/"))
    wanted = {full(name): kind for name, kind, _ in SERVICES}
    assert {name: found.get(name) for name in wanted} == wanted
    assert {name for name in found if "lifecycle" not in found[name]} - set(wanted) <= {
        f"{g.NODE}/{state}" for state in ("change_state", "get_state")
    }
