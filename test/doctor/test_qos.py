"""Pairs of ends that match, and that do not."""

import math

import pytest

from objectomaly_ros.doctor.graph import IMAGE, Endpoint, Graph, NodeSeen, Topic
from objectomaly_ros.doctor.qos import mismatches, qos_findings


def end(node="/x", kind=IMAGE, **policies):
    return Endpoint(node, kind, **policies)


@pytest.mark.parametrize(
    ("offered", "asked", "expected"),
    [
        ({}, {}, []),
        ({"reliability": "best_effort"}, {}, ["reliability"]),
        ({}, {"reliability": "best_effort"}, []),
        ({}, {"durability": "transient_local"}, ["durability"]),
        ({"durability": "transient_local"}, {}, []),
        ({"durability": "unknown"}, {"durability": "transient_local"}, []),
        ({}, {"deadline_s": 0.1}, ["deadline"]),
        ({"deadline_s": 0.1}, {"deadline_s": 0.1}, []),
        ({"deadline_s": 0.05}, {"deadline_s": 0.1}, []),
        ({}, {"liveliness": "manual_by_topic", "lease_s": 1.0},
         ["liveliness", "liveliness_lease_duration"]),
        ({"reliability": "best_effort"}, {"durability": "transient_local"},
         ["reliability", "durability"]),
    ],
)  # fmt: skip
def test_policies(offered, asked, expected):
    found = mismatches(end(**offered), end(**asked))
    assert [policy for policy, _, _ in found] == expected


def findings(publishers, subscriptions, node="/objectomaly"):
    topic = Topic("/image", tuple(publishers), tuple(subscriptions))
    graph = Graph("/objectomaly", 5.0, NodeSeen(node), topics={"/image": topic})
    return qos_findings(graph)


def test_pairs_that_match_are_counted():
    (found,) = findings([end("/a"), end("/b")], [end("/c")])
    assert (found.level, found.found) == ("ok", "all 2 pairs of ends match")
    (found,) = findings([], [end("/c")])
    assert (found.level, found.found) == ("ok", "no topic has a publisher and a subscription")


def test_the_remedy_is_a_parameter_where_our_node_is_one_end():
    best_effort = end("/camera", reliability="best_effort")
    (found,) = findings([best_effort], [end("/objectomaly")])
    assert found.remedy.endswith("qos_overrides./image.subscription.reliability to best_effort")
    latched = end("/viewer", durability="transient_local")
    (found,) = findings([end("/objectomaly")], [latched])
    assert found.remedy.endswith("qos_overrides./image.publisher.durability to transient_local")
    (found,) = findings([best_effort], [end("/rviz")])
    assert "in RViz: the topic's Reliability Policy" in found.remedy
    (found,) = findings([end("/objectomaly")], [end("/viewer", deadline_s=0.1)])
    assert found.remedy.startswith("leave the deadline of /viewer unset")


def test_types_that_differ():
    (found,) = findings([end("/a", kind="sensor_msgs/msg/CompressedImage")], [end("/b")])
    assert found.level == "error"
    assert "subscribes to sensor_msgs/msg/Image" in found.found


def test_equal_ends_are_told_once():
    best_effort = end("/camera", reliability="best_effort", deadline_s=math.inf)
    assert len(findings([best_effort], [end("/rviz"), end("/rviz")])) == 1
