"""TF between cameras and base; the transforms are plain records here."""

import pytest

from objectomaly_ros.doctor.frames import base_frame, frame_findings
from objectomaly_ros.doctor.graph import (
    Endpoint,
    Graph,
    Images,
    NodeSeen,
    Seen,
    Topic,
)
from objectomaly_ros.geometry.transform_tree import TransformSeen, Tree

OPTICAL = (-0.5, 0.5, -0.5, 0.5)
STILL = (0.0, 0.0, 0.0, 1.0)


def edge(parent, child, turn=STILL, *, x=0.0, z=0.0, static=True, wall_s=100.0):
    return TransformSeen(parent, child, (x, 0.0, z), turn, static, wall_s, wall_s)


def graph(*edges, frame="optical", published=True, readable=True, **parameters):
    ends = (Endpoint("/robot", "tf2_msgs/msg/TFMessage"),) if published else ()
    return Graph(
        "/objectomaly",
        5.0,
        NodeSeen("/objectomaly", "active", parameters),
        topics={"/tf_static": Topic("/tf_static", ends)},
        images={"/image": Images([Seen(100.0, frame, 100.0)])},
        transforms={(e.child, e.parent): e for e in edges},
        tf_readable=readable,
    )


GOOD = (edge("base_link", "mast", x=1.0), edge("mast", "optical", OPTICAL, z=1.5))


def only(*arguments, **options):
    (found,) = frame_findings(graph(*arguments, **options))
    return found


def test_a_camera_on_its_mast():
    found = only(*GOOD)
    assert found.level == "ok"
    assert found.subject == "TF base_link <- optical"
    assert found.found == "by 2 transforms; the camera is at 1.00, 0.00, 1.50 m"


@pytest.mark.parametrize(
    ("edges", "options", "level", "told"),
    [
        (GOOD, {"published": False}, "warning", "nobody publishes TF"),
        (GOOD, {"frame": ""}, "warning", "is empty"),
        (GOOD, {"frame": "/optical"}, "warning", "begins with a slash"),
        (GOOD, {"frame": "optic"}, "error", "has no frame 'optic'; it has optical"),
        (GOOD, {"points.base_frame": "base"}, "error", "has no frame 'base'; it has base_link"),
        ((*GOOD[:1], edge("map", "optical")), {}, "error",
         "optical hangs below map, base_link below base_link"),
        ((edge("base_link", "optical", OPTICAL, static=False, wall_s=90.0),), {}, "error",
         "optical below base_link was published last 10.00 s before"),
        ((edge("base_link", "optical", (0.0, 0.0, 0.0, 0.0)),), {}, "error", "quaternion is zero"),
        (GOOD, {"readable": False}, "warning", "tf2_msgs is not installed"),
    ],
)  # fmt: skip
def test_faults(edges, options, level, told):
    found = only(*edges, **options)
    assert found.level == level
    assert told in found.found
    assert found.remedy


def test_what_moves_below_both_frames_does_not_matter():
    odometry = edge("odom", "base_link", static=False, wall_s=1.0)
    assert only(odometry, *GOOD).level == "ok"


def test_two_parents():
    first, _ = frame_findings(graph(*GOOD, edge("map", "mast")))
    assert first.level == "error"
    assert "2 parents (base_link, map)" in first.found


def test_the_base_frame():
    footprint = graph(*GOOD, edge("base_footprint", "base_link"))
    assert base_frame(footprint, Tree(footprint.transforms), "optical") == "base_footprint"
    given = graph(*GOOD, **{"points.base_frame": "robot"})
    assert base_frame(given, Tree(given.transforms), "optical") == "robot"
    assert base_frame(graph(), Tree({}), "optical") == "base_link"
