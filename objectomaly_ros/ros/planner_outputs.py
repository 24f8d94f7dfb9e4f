"""Computes what planners take of the obstacles of one camera, as far as somebody listens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from objectomaly_ros.geometry.beams import Beams, BeamSettings
from objectomaly_ros.geometry.footprint import NO_OBSTACLE, footprints
from objectomaly_ros.geometry.free_road import free_pixels, free_ranges
from objectomaly_ros.geometry.ground import Transform
from objectomaly_ros.geometry.placement import Placement
from objectomaly_ros.geometry.posts import posts
from objectomaly_ros.geometry.scan import scan_ranges
from objectomaly_ros.geometry.view import View
from objectomaly_ros.obstacles.stage import Obstacles
from objectomaly_ros.ros import detection_messages, planner_messages
from objectomaly_ros.ros.poses import PoseSource
from objectomaly_ros.runtime.interface import Result

LEVEL = 0.9994
"""Cosine of 2 degrees: a scan's frame may lean so far."""


class PlannerOutputs:
    """The outputs in metres of one camera, and those for Autoware.

    Args:
        camera: its name.
        values: returns the node's parameters.
        threshold: returns the threshold of obstacles, None without any.
        poses: knows the frame of the scan.
        warn: takes a throttling key and the text.
        wanted: returns whether an output has subscribers.
        publish: publishes a message as an output.
    """

    def __init__(
        self,
        camera: str,
        values: Callable[[], Mapping[str, Any]],
        threshold: Callable[[], float | None],
        poses: PoseSource,
        warn: Callable[[str, str], None],
        wanted: Callable[[str], bool],
        publish: Callable[[str, Any], None],
    ) -> None:
        self._camera = camera
        self._values = values
        self._threshold = threshold
        self._poses = poses
        self._warn = warn
        self._wanted = wanted
        self._publish = publish
        self._beams: Beams | None = None
        self._footprints: set[int] = set()

    def publish(
        self, result: Result, obstacles: Obstacles, view: View, placements: Sequence[Placement]
    ) -> None:
        """Compute and publish the outputs of one image that somebody listens to."""
        stamp = result.frame.message.header.stamp
        if self._wanted("points"):
            found = posts(placements, self._values()["points.height"])
            self._publish(
                "points", planner_messages.obstacle_points(stamp, view.frame, obstacles, found)
            )
        if self._wanted("scan") or self._wanted("free"):
            self._publish_beams(result, obstacles, view, placements)
        if self._wanted("footprints"):
            self._publish_footprints(stamp, obstacles, view, placements)
        else:
            self._footprints.clear()
        if self._wanted("objects"):
            self._publish("objects", detection_messages.objects(stamp, view, obstacles, placements))

    def _publish_beams(
        self, result: Result, obstacles: Obstacles, view: View, placements: Sequence[Placement]
    ) -> None:
        values, stamp = self._values(), result.frame.message.header.stamp
        settings = BeamSettings(
            values["scan.range_min"], values["scan.range_max"], values["scan.angle_increment"]
        )
        frame, scan_from_base = self._scan_frame(view, stamp)
        height, width = obstacles.mask.shape
        beams = self._beams
        if beams is None or not beams.fits(view, (height, width), scan_from_base, settings):
            beams = self._beams = Beams(view, (height, width), scan_from_base, settings)
        if not beams.count:
            return  # the log has the reason: no ground is seen
        free, road = None, result.detection.road
        if road is None:
            self._warn(
                f"road {self._camera}",
                "the detector does not segment the road: there is nothing on ~/free, and no free "
                "road in ~/scan",
            )
        else:
            score, threshold = result.refined.score, self._threshold()
            pixels = free_pixels(road, obstacles, score, threshold)
            free = free_ranges(beams, pixels, obstacles.regions, placements, view)
            if self._wanted("free"):
                ground_z = float(scan_from_base[2, 3])
                self._publish(
                    "free", planner_messages.free_points(stamp, frame, beams, free, ground_z)
                )
        if self._wanted("scan"):
            ranges = scan_ranges(
                beams,
                free,
                placements,
                range_min=settings.range_min,
                range_max=settings.range_max,
                inf_is_valid=values["scan.inf_is_valid"],
            )
            self._publish(
                "scan", planner_messages.laser_scan(stamp, frame, beams, ranges, settings)
            )

    def _scan_frame(self, view: View, stamp: Any) -> tuple[str, Transform]:
        """Return the frame of scan and free road, and its transform from the base frame."""
        frame = self._values()["scan.frame"]
        if frame in ("", view.frame):
            return view.frame, np.eye(4)
        transform = self._poses.transform(frame, view.frame, stamp)
        if transform is None:
            problem = f"TF has no transform from {view.frame!r} to {frame!r}"
        elif not transform[2, 2] >= LEVEL:  # or NaN
            problem = f"{frame!r} is not level"
        else:
            return frame, transform
        self._warn(f"scan.frame {problem}", f"scan.frame: {problem}; {view.frame} is taken instead")
        return view.frame, np.eye(4)

    def _publish_footprints(
        self, stamp: Any, obstacles: Obstacles, view: View, placements: Sequence[Placement]
    ) -> None:
        """Publish footprints, the nearest last: of too many in a queue the first are lost.

        Nav2's Collision Monitor keeps a footprint until it is old, or replaced by one of the same
        id, and stops the robot while it has none at all. So a footprint without corners replaces
        that of an obstacle that is gone, and every image has one more.
        """
        found = footprints(obstacles.ids, placements, view.position)
        gone = sorted(self._footprints - found.keys())
        for number in [*gone, NO_OBSTACLE]:
            self._publish("footprints", planner_messages.footprint(stamp, view.frame, number, ()))
        for number, corners in found.items():
            self._publish(
                "footprints", planner_messages.footprint(stamp, view.frame, number, corners)
            )
        self._footprints = set(found)
