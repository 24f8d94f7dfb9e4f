"""Image topics: publishers, encodings, rates."""

from __future__ import annotations

from itertools import pairwise

from objectomaly_ros.doctor.findings import Finding
from objectomaly_ros.doctor.graph import (
    COMPRESSED,
    IMAGE,
    MOST_IMAGES,
    Graph,
    Images,
    names_of,
    nearest,
)

_TRANSPORT = "/compressed"
_LOST = 0.1  # share of the images that may be missing
_MISSED = 1.6  # times the usual interval between two stamps


def image_findings(graph: Graph) -> list[Finding]:
    """Report on each image topic of the node; without a node, on all image topics."""
    wanted = graph.heard_images()
    if not wanted:
        return [
            Finding(
                "error" if graph.node is not None else "warning",
                "images",
                f"no image topic is published, of {len(graph.topics)} topics",
                "start the camera or the bag, with the ROS_DOMAIN_ID of this terminal",
            )
        ]
    found = [finding for name in wanted for finding in _of_topic(graph, name)]
    left = graph.image_topics()[MOST_IMAGES:]
    if left and not (graph.node is not None and graph.node.images):
        found.append(Finding("ok", "images", f"not listened to: {', '.join(left)}"))
    return found


def _of_topic(graph: Graph, name: str) -> list[Finding]:
    topic = graph.topic(name)
    if not topic.has(IMAGE, COMPRESSED):
        return [_nobody(graph, name)]
    images = graph.images.get(name, Images())
    publishers = names_of(topic.publishers)
    if not images.messages:
        return [
            Finding(
                "error",
                name,
                f"no image in {graph.seconds:g} s, though {publishers} publishes here",
                "see that the camera runs. If others receive it: run all nodes as one user, give "
                "containers --shm-size=512m --ipc=host, or set FASTDDS_BUILTIN_TRANSPORTS=UDPv4",
            )
        ]
    found = [_pictures(name, images)]
    if name in graph.unreadable:
        found.append(
            Finding(
                "error",
                name,
                "some messages cannot be read: they are of another definition of their type",
                "build both ends against the same ROS distribution",
            )
        )
    if len(topic.publishers) > 1:
        found.append(
            Finding(
                "warning",
                name,
                f"{len(topic.publishers)} publishers ({publishers}): their images alternate",
                "give each its own topic; stop the camera while a bag is played",
            )
        )
        return found
    return [*found, *_gaps(graph, name, images)]


def _nobody(graph: Graph, name: str) -> Finding:
    compressed = name.endswith(_TRANSPORT)
    other = name.removesuffix(_TRANSPORT) if compressed else name + _TRANSPORT
    if graph.topic(other).publishers:
        transport = "raw" if compressed else "compressed"
        return Finding(
            "error",
            name,
            f"nobody publishes here, but {names_of(graph.topic(other).publishers)} on {other}",
            f"set the node's parameter image_transport to {transport} (a launch argument, too)",
        )
    kind = COMPRESSED if compressed else IMAGE
    fitting = [one for one in graph.image_topics() if graph.topic(one).has(kind)]
    target = "image/compressed" if compressed else "image"
    if not fitting:
        return Finding(
            "error",
            name,
            f"nobody publishes here, and no topic has {kind}",
            "start the camera or the bag, with the ROS_DOMAIN_ID of this terminal",
        )
    closest = nearest(name, fitting)
    return Finding(
        "error",
        name,
        f"nobody publishes here; images are on {closest}",
        f"remap {target} (-r {target}:={closest.split(',')[0].split(' ')[0]}; launch argument "
        "image_topic)",
    )


def _pictures(name: str, images: Images) -> Finding:
    rate = f"{images.rate_hz:.1f} Hz" if images.rate_hz else f"{len(images.messages)} images"
    size = " x ".join(map(str, images.size)) if images.size else "size unknown"
    refused = [text for text in images.encodings.values() if text]
    if refused:
        return Finding(
            "error",
            name,
            f"{rate}, and the node skips images: {'; '.join(refused)}",
            "set another encoding in the camera's driver, or convert with image_proc",
        )
    bytes_s = images.bytes * images.rate_hz / 1e6
    encodings = ", ".join(encoding or "compressed" for encoding in images.encodings)
    return Finding("ok", name, f"{rate}, {size}, {encodings}, {bytes_s:.1f} MB/s")


def _gaps(graph: Graph, name: str, images: Images) -> list[Finding]:
    """Report on images that were lost on the way, by the gaps between their stamps."""
    stamps = [message.stamp_s for message in images.messages]
    steps = [b - a for a, b in pairwise(stamps) if b > a]
    if len(steps) < 5:
        return []
    usual = sorted(steps)[len(steps) // 4]
    lost = sum(round(step / usual) - 1 for step in steps if step > _MISSED * usual)
    if lost <= _LOST * (len(steps) + lost):
        return []
    remedy = "see the findings on ROS: shared memory, Fast DDS profile"
    if not name.endswith(_TRANSPORT) and graph.topic(name + _TRANSPORT).has(COMPRESSED):
        remedy = f"take {name}{_TRANSPORT} (image_transport: compressed), or {remedy}"
    return [
        Finding(
            "warning",
            name,
            f"about {lost} of {len(steps) + lost + 1} images are missing, by the gaps between "
            "their stamps",
            remedy,
        )
    ]
