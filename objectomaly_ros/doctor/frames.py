"""TF between the cameras and the base frame."""

from __future__ import annotations

from objectomaly_ros.doctor.findings import Finding
from objectomaly_ros.doctor.graph import Graph, in_words, nearest
from objectomaly_ros.geometry.frames import AUTO, base_frames
from objectomaly_ros.geometry.transform_tree import Tree

_STALE_S = 1.0


def base_frame(graph: Graph, tree: Tree, frame: str) -> str:
    """Return the base frame that the node takes for a camera's frame."""
    given = graph.node.parameters.get("points.base_frame") if graph.node is not None else None
    names = base_frames(str(given or AUTO), frame)
    joined = (name for name in names if name in tree.frames and tree.root(name) == tree.root(frame))
    known = (name for name in names if name in tree.frames)
    return next(joined, None) or next(known, names[-1])


def frame_findings(graph: Graph) -> list[Finding]:
    """Report on the way from each camera's frame to the base frame."""
    frames = {
        images.messages[-1].frame: (name, images.messages[-1].wall_s)
        for name, images in sorted(graph.images.items())
        if images.messages
    }
    if not frames:
        return []
    publishers = [end for name in ("/tf", "/tf_static") for end in graph.topic(name).publishers]
    if publishers and not graph.tf_readable:
        return [
            Finding(
                "warning",
                "TF",
                "is published, and cannot be read here: tf2_msgs is not installed",
                "sudo apt install ros-$ROS_DISTRO-tf2-ros-py",
            )
        ]
    tree = Tree(graph.transforms)
    found = _parents(tree)
    for frame, (topic, wall_s) in frames.items():
        base = base_frame(graph, tree, frame)
        found.append(_of_camera(tree, base, frame, topic, wall_s, published=bool(publishers)))
    return found


def _parents(tree: Tree) -> list[Finding]:
    return [
        Finding(
            "error",
            f"TF of {child}",
            f"has {len(parents)} parents ({', '.join(sorted(parents))}): it jumps between them",
            "end one of the publishers (often two robot_state_publishers, or a bag beside one)",
        )
        for child, parents in sorted(tree.parents.items())
        if len(parents) > 1
    ]


_BY_HAND = (
    "for a camera that does not move: ros2 run tf2_ros static_transform_publisher --x 1.0 --z 1.5 "
    "--frame-id {base} --child-frame-id {frame} with its place and turn; or set "
    "points.camera_height, points.camera_pitch and points.camera_roll"
)


def _of_camera(
    tree: Tree, base: str, frame: str, topic: str, wall_s: float, *, published: bool
) -> Finding:
    subject = f"TF {base} <- {frame}"
    if not frame:
        return Finding(
            "warning",
            f"frame of {topic}",
            "is empty: TF cannot tell where the camera is",
            "set the frame_id in the camera's driver to its optical frame",
        )
    if frame.startswith("/"):
        return Finding(
            "warning",
            f"frame of {topic}",
            f"{frame!r} begins with a slash, which TF refuses",
            f"set the frame_id in the camera's driver to {frame.lstrip('/')!r}",
        )
    by_hand = _BY_HAND.format(base=base, frame=frame)
    if not published:
        text = "nobody publishes TF: the camera's pose is that of the node's parameters"
        return Finding("warning", subject, text, by_hand)
    for one, remedy in (
        (frame, by_hand),
        (base, "set the node's parameter points.base_frame to one that TF has"),
    ):
        if one not in tree.frames:
            text = f"TF has no frame {one!r}; it has {nearest(one, tree.frames)}"
            return Finding("error", subject, text, remedy)
    if tree.root(frame) != tree.root(base):
        text = (
            f"they are not connected: {frame} hangs below {tree.root(frame)}, {base} below "
            f"{tree.root(base)}"
        )
        return Finding("error", subject, text, f"publish what joins the two. {by_hand}")
    return _quality(tree, base, frame, subject, wall_s)


def _quality(tree: Tree, base: str, frame: str, subject: str, wall_s: float) -> Finding:
    path = tree.path(base, frame)
    moving = [transform for transform in path if not transform.static]
    oldest = min(moving, key=lambda transform: transform.wall_s, default=None)
    if oldest is not None and wall_s - oldest.wall_s > _STALE_S:
        age = in_words(wall_s - oldest.wall_s)
        return Finding(
            "error",
            subject,
            f"{oldest.child} below {oldest.parent} was published last {age} before the last image",
            "see that its publisher runs; a fixed transform belongs on /tf_static",
        )
    try:
        transform = tree.transform(base, frame)
    except ValueError as error:
        return Finding("error", subject, str(error), "set it; x 0, y 0, z 0, w 1 does not rotate")
    where = "" if transform is None else ", ".join(f"{value:.2f}" for value in transform[:3, 3])
    return Finding("ok", subject, f"by {len(path)} transforms; the camera is at {where} m")
