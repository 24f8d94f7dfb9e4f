"""Judges each CameraInfo of a graph with the node's own code, for the doctor."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from objectomaly_ros.doctor.calibration import camera_infos
from objectomaly_ros.doctor.frames import base_frame
from objectomaly_ros.doctor.graph import Graph
from objectomaly_ros.geometry.ground import CameraPose
from objectomaly_ros.geometry.transform_tree import Tree
from objectomaly_ros.ros.geometry import CameraGeometry
from objectomaly_ros.ros.parameters import BY_NAME
from objectomaly_ros.ros.poses import FoundPose

GEOMETRY = {
    name: spec.default
    for name, spec in BY_NAME.items()
    if name.startswith(("camera.", "points.")) and not isinstance(spec.default, list)
}
"""Parameters of ranges with their defaults."""


def judge_calibrations(graph: Graph, messages: Mapping[str, Any]) -> None:
    """Note the problems of each CameraInfo with the images that it belongs to.

    Args:
        graph: as it was seen; its `infos` get their problems.
        messages: the last CameraInfo of each topic.
    """
    values = GEOMETRY | (graph.node.parameters if graph.node is not None else {})
    poses: Any = _Poses(graph, values)
    for image, info in camera_infos(graph):
        seen, found = graph.images.get(image), graph.infos.get(info)
        if seen is None or found is None or info not in messages:
            continue
        problems: dict[str, str] = {}
        geometry = CameraGeometry(info, poses, problems.__setitem__, lambda: values, image)
        geometry.take(messages[info])
        if seen.size is not None:
            width, height = seen.size
            header = SimpleNamespace(frame_id=seen.messages[-1].frame, stamp=None)
            geometry.view((height, width), header)
        found.problems = list(problems.values())


class _Poses:
    """Poses of cameras by the transforms that were seen, in the place of a `PoseSource`."""

    def __init__(self, graph: Graph, values: Mapping[str, Any]) -> None:
        self._graph = graph
        self._tree = Tree(graph.transforms)
        pose = (values[f"points.camera_{key}"] for key in ("height", "pitch", "roll"))
        self._default = CameraPose(*pose).matrix()

    def pose(self, frame_id: str, stamp: Any) -> FoundPose:
        """See `PoseSource`."""
        base = base_frame(self._graph, self._tree, frame_id)
        try:
            transform = self._tree.transform(base, frame_id)
        except ValueError:
            transform = None
        if transform is None:  # a finding on TF tells it
            return FoundPose(self._default, base, "parameters")
        return FoundPose(transform, base, f"TF {base} <- {frame_id}")
