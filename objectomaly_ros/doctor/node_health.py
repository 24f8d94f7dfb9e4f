"""The node of this package: lifecycle, diagnostics, and what it makes of the images."""

from __future__ import annotations

from collections import Counter
from itertools import chain

from objectomaly_ros.doctor.findings import Finding
from objectomaly_ros.doctor.graph import Graph, Images, NodeSeen, Status, nearest

_ENOUGH = 0.85  # share of a rate; both ends are measured over some seconds only
_FEW = 5  # images, too few to compare rates


def node_findings(graph: Graph) -> list[Finding]:
    """Report on the node."""
    found = [
        Finding(
            "error",
            name,
            f"{count} nodes have this name: services reach any of them",
            "end all but one, or give them names (-r __node:=NAME)",
        )
        for name, count in Counter(graph.nodes).items()
        if count > 1 and graph.node is not None and name == graph.node.name
    ]
    node = graph.node
    if node is None:
        return [*found, _missing(graph)]
    found.append(_state(node))
    found += [
        Finding("error" if level == 2 else "warning", name, message, "the node's log tells more")
        for name, (level, message) in sorted(node.diagnostics.items())
        if level
    ]
    if node.state == "active":
        statuses = _by_topic(graph, node)
        found += chain.from_iterable(
            _scores(graph, topic, statuses.get(topic, [])) for topic in node.images
        )
    return found


def _by_topic(graph: Graph, node: NodeSeen) -> dict[str, list[Status]]:
    """Return the statuses of each image topic.

    A camera's topic is the one with its name in the path. If that was remapped, it is the one whose
    images have the stamps and frames of the statuses.
    """
    found = {}
    for camera, statuses in node.statuses.items():
        told = {(status.seen.stamp_s, status.seen.frame) for status in statuses}
        fits = {
            topic: (
                camera in topic.split("/"),
                sum((m.stamp_s, m.frame) in told for m in graph.images[topic].messages),
            )
            for topic in node.images
            if topic in graph.images
        }
        if fits:
            found[max(fits, key=fits.__getitem__)] = statuses
    return found


def _missing(graph: Graph) -> Finding:
    if graph.others:
        return Finding(
            "error",
            graph.wanted,
            f"no node has this name; of this package: {', '.join(graph.others)}",
            f"objectomaly doctor --graph --node {graph.others[0]}",
        )
    others = f", the nearest are {nearest(graph.wanted, graph.nodes)}" if graph.nodes else ""
    return Finding(
        "error",
        graph.wanted,
        f"no node has this name{others}",
        "ros2 launch objectomaly_ros refine.launch.py, with the ROS_DOMAIN_ID of this terminal",
    )


def _state(node: NodeSeen) -> Finding:
    if node.state is None:
        return Finding(
            "error",
            node.name,
            "does not answer: it hangs, or it just ended",
            "see its log; restart it",
        )
    if node.state == "active":
        return Finding("ok", node.name, "active")
    step = {"unconfigured": "configure", "inactive": "activate"}.get(node.state)
    remedy = "restart it"
    if step is not None:
        remedy = f"ros2 lifecycle set {node.name} {step}; its log tells why it is not active"
    return Finding("error", node.name, f"is {node.state}: it scores nothing", remedy)


def _scores(graph: Graph, topic: str, statuses: list[Status]) -> list[Finding]:
    images = graph.images.get(topic, Images())
    if len(images.messages) < _FEW:
        return []
    subject = f"scores of {topic}"
    problem = statuses[-1].problem if statuses and not statuses[-1].healthy else ""
    if problem:
        return [Finding("error", subject, f"must not be acted on: {problem}", "see the node's log")]
    if not statuses or (len(statuses) > _FEW and statuses[0].scored == statuses[-1].scored):
        return [
            Finding(
                "error",
                subject,
                f"none in {graph.seconds:g} s, while {len(images.messages)} images were seen here",
                "images do not reach the node, or its detector hangs: see its diagnostics and log",
            )
        ]
    return [_rates(subject, images, statuses[len(statuses) // 2 :])]


def _rates(subject: str, images: Images, statuses: list[Status]) -> Finding:
    """Compare rates over the later statuses; over the earlier ones, connections are made."""
    first, last = statuses[0], statuses[-1]
    span = last.seen.wall_s - first.seen.wall_s
    if len(statuses) < _FEW or span <= 0:
        return Finding("ok", subject, f"{len(statuses)} were seen, too few for a rate")
    scored, received = (
        (getattr(last, n) - getattr(first, n)) / span for n in ("scored", "received")
    )
    seen = sum(first.seen.wall_s < m.wall_s <= last.seen.wall_s for m in images.messages)
    rate_hz = seen / span
    if received < _ENOUGH * rate_hz:
        return Finding(
            "warning",
            subject,
            f"{received:.1f} images a second reach the node, of {rate_hz:.1f} that are published",
            "see the findings on ROS: shared memory, Fast DDS profile; or take compressed images",
        )
    if scored < _ENOUGH * received:
        return Finding(
            "warning",
            subject,
            f"{scored:.1f} of {received:.1f} images a second: the detector is slower than the "
            "camera, and drops the rest",
            "lower detector input_size or the camera's rate, or take a faster device",
        )
    return Finding("ok", subject, f"{scored:.1f} a second, every image")
