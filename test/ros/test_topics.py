"""The table of topics, which the documentation prints, is the node's graph."""

import pytest
from domains import next_domain

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


INPUTS_OF_THE_NODE = {full(t.name): t for t in INPUTS if t.name != "image/compressed"}
OUTPUTS_OF_THE_NODE = {full(t.name): t for t in (*OUTPUTS, DIAGNOSTICS)}
ALWAYS = {n: t for n, t in OUTPUTS_OF_THE_NODE.items() if not t.type.startswith(THEIRS)}
SERVICES_OF_THE_NODE = {full(name): kind for name, kind, _ in SERVICES}


@pytest.fixture(scope="module")
def graph():
    domain = next_domain()
    node = g.NodeProcess(
        domain, **{"detector.name": "precomputed", "masks.name": "none", "depth.use": True}
    )
    graph = g.Graph(domain)
    try:
        g.wait_for(
            lambda: ("objectomaly", "/") in graph.node.get_node_names_and_namespaces(), "its name"
        )
        for what, wanted, find in (  # the ends of a node are not discovered all at once
            ("inputs", INPUTS_OF_THE_NODE, graph.node.get_subscriber_names_and_types_by_node),
            ("outputs", ALWAYS, graph.node.get_publisher_names_and_types_by_node),
            ("services", SERVICES_OF_THE_NODE, graph.node.get_service_names_and_types_by_node),
        ):
            g.wait_for(lambda: wanted.keys() <= names_of(find("objectomaly", "/")).keys(), what)  # noqa: B023
        yield graph.node
    finally:
        graph.close()
        node.close()


def names_of(found):
    ours = {name: types[0].replace("/msg/", "/").replace("/srv/", "/") for name, types in found}
    standard = (*(f"{g.NODE}/{word}" for word in STANDARD), *OTHERS)
    return {name: kind for name, kind in ours.items() if not name.startswith(standard)}


def test_inputs_are_those_of_the_graph(graph):
    found = names_of(graph.get_subscriber_names_and_types_by_node("objectomaly", "/"))
    assert found == {name: topic.type for name, topic in INPUTS_OF_THE_NODE.items()}
    for name, topic in INPUTS_OF_THE_NODE.items():
        (end,) = graph.get_subscriptions_info_by_topic(name)
        reliable = end.qos_profile.reliability == ReliabilityPolicy.RELIABLE
        assert reliable == topic.reliable, name


def test_outputs_are_those_of_the_graph(graph):
    found = names_of(graph.get_publisher_names_and_types_by_node("objectomaly", "/"))
    assert ALWAYS.keys() <= found.keys() <= OUTPUTS_OF_THE_NODE.keys()
    for name, kind in found.items():
        assert kind == OUTPUTS_OF_THE_NODE[name].type, name
        (end,) = graph.get_publishers_info_by_topic(name)
        reliable = end.qos_profile.reliability == ReliabilityPolicy.RELIABLE
        assert reliable == OUTPUTS_OF_THE_NODE[name].reliable, name


def test_services_are_those_of_the_graph(graph):
    found = names_of(graph.get_service_names_and_types_by_node("objectomaly", "/"))
    wanted = SERVICES_OF_THE_NODE
    assert {name: found.get(name) for name in wanted} == wanted
    assert {name for name in found if "lifecycle" not in found[name]} - set(wanted) <= {
        f"{g.NODE}/{state}" for state in ("change_state", "get_state")
    }
