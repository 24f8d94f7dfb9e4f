"""CameraInfo that belongs to its images."""

from __future__ import annotations

from collections.abc import Iterator

from objectomaly_ros.doctor.findings import Finding
from objectomaly_ros.doctor.graph import CAMERA_INFO, Calibration, Graph, Images, nearest

_SAME_S = 1e-6
_WITHOUT = "a node that has had no message gives no ranges and no ~/points"


def calibration_findings(graph: Graph) -> list[Finding]:
    """Report on the CameraInfo of every camera of the node; without a node, of every image."""
    return [finding for pair in camera_infos(graph) for finding in _of_camera(graph, *pair)]


def camera_infos(graph: Graph) -> list[tuple[str, str]]:
    """Return the image topics with their CameraInfo topics."""
    node = graph.node
    if node is not None and node.images and node.infos:
        return [(name, _best_of(node.infos, name)) for name in node.images]
    return [(name, info_beside(name)) for name in graph.image_topics()]


def _best_of(infos: list[str], image: str) -> str:
    """Return the topic that has most of an image topic's beginning."""

    def common(info: str) -> int:
        return next((i for i, (a, b) in enumerate(zip(info, image, strict=False)) if a != b), 0)

    return max(infos, key=common)


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
    if _apart(images, found):
        yield Finding(
            "warning",
            info,
            "none of its stamps is that of an image: other nodes do not find the pairs",
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


def _apart(images: Images, found: Calibration) -> bool:
    """Tell whether no stamp of the images is one of the CameraInfos, over the same time."""
    stamps = [message.stamp_s for message in found.messages]
    if min(len(stamps), len(images.messages)) < 3:
        return False
    return not any(
        abs(message.stamp_s - stamp) < _SAME_S for message in images.messages for stamp in stamps
    )
