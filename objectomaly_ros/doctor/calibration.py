"""CameraInfo that belongs to its images."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator
from itertools import pairwise
from os.path import commonprefix

from objectomaly_ros.doctor.findings import Finding
from objectomaly_ros.doctor.graph import CAMERA_INFO, Calibration, Graph, Images, nearest

_SAME_S = 1e-6
_GAP = 0.75  # times the usual interval between two stamps; a lost partner is a whole one away
_WITHOUT = "a node that has had no message gives no ranges and no ~/points"


def calibration_findings(graph: Graph) -> list[Finding]:
    """Report on the CameraInfo of every camera of the node; without a node, of every image."""
    found = (finding for pair in camera_infos(graph) for finding in _of_camera(graph, *pair))
    return list(dict.fromkeys(found))  # raw and compressed images share one


def camera_infos(graph: Graph) -> list[tuple[str, str]]:
    """Return the image topics with their CameraInfo topics."""
    node = graph.node
    if node is not None and node.images and node.infos:
        return [(name, _best_of(node.infos, name)) for name in node.images]
    return [(name, info_beside(name)) for name in graph.image_topics()]


def _best_of(infos: list[str], image: str) -> str:
    """Return the topic that has most of an image topic's beginning."""
    return max(infos, key=lambda info: len(commonprefix([info, image])))  # noqa: RUF071 - as text


def info_beside(image: str) -> str:
    """Return the topic on which drivers publish the CameraInfo of an image topic."""
    return f"{image.removesuffix('/compressed').rpartition('/')[0]}/camera_info"


def _of_camera(graph: Graph, image: str, info: str) -> Iterator[Finding]:
    images, found = graph.images.get(image, Images()), graph.infos.get(info, Calibration())
    if not images.messages:
        return
    if not found.messages:
        yield _missing(graph, info)
        return
    for problem in found.problems:
        yield Finding(
            "error",
            info,
            problem,
            "calibrate the camera (camera_calibration) and give its driver the result "
            "(camera_info_url)",
        )
    frame, other = images.messages[-1].frame, found.messages[-1].frame
    if frame != other:
        yield Finding(
            "warning",
            info,
            f"its frame_id is {other!r}, that of the images {frame!r}",
            "set both to the camera's optical frame in the driver",
        )
    if which := _apart(images, found):
        yield Finding(
            "warning",
            info,
            f"{which} of its stamps are those of images: other nodes do not find the pairs",
            "have the driver publish both with one stamp",
        )
    if not found.problems:
        size = " x ".join(map(str, found.size))
        scaled = "" if found.size == images.size else ", scaled to the images"
        yield Finding("ok", info, f"{size}{scaled}")


def _missing(graph: Graph, info: str) -> Finding:
    topic = graph.topic(info)
    if topic.has(CAMERA_INFO):
        text = f"no message in {graph.seconds:g} s, though somebody publishes here"
        return Finding("warning", info, f"{text}: {_WITHOUT}", "see the camera's driver")
    others = [name for name, one in graph.topics.items() if one.has(CAMERA_INFO)]
    where = f"CameraInfo is on {nearest(info, others)}" if others else "No topic has CameraInfo"
    return Finding(
        "warning",
        info,
        f"nobody publishes here: {_WITHOUT}. {where}",
        "remap camera_info (launch argument camera_info_topic); scores and masks need none",
    )


def _apart(images: Images, found: Calibration) -> str:
    """Return how many CameraInfos have the stamp of an image: "none", "few", or "" for enough.

    Only the rarer of the two is judged, since a driver may publish CameraInfo seldom. A stamp
    without its like counts only if it lies between two of the others without a gap: in a gap, its
    like was lost.
    """
    few, many = sorted(
        (sorted(message.stamp_s for message in one.messages) for one in (images, found)), key=len
    )
    if len(few) < 3:
        return ""
    offsets = [
        min(abs(stamp - other) for other in many[max(0, after - 1) : after + 1])
        for stamp in few
        for after in (bisect(many, stamp),)
    ]
    if min(offsets) > _SAME_S:
        return "none"
    steps = sorted(b - a for a, b in pairwise(many))
    gap = _GAP * steps[len(steps) // 4]
    return "few" if 2 * sum(_SAME_S < offset < gap for offset in offsets) > len(few) else ""
