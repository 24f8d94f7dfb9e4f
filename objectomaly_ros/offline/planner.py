"""What planners take of one frame, in metres, with the defaults of the node's parameters.

Ids of obstacles are known only when all segments are done. Until then an obstacle has its number
in the frame, from 1 on, and `Numbers` replaces it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from objectomaly_ros.bags import planner_messages
from objectomaly_ros.bags.writer import BagWriter
from objectomaly_ros.geometry.beams import Beams, BeamSettings
from objectomaly_ros.geometry.clouds import POINT, free_records, post_records
from objectomaly_ros.geometry.footprint import NO_OBSTACLE, footprints
from objectomaly_ros.geometry.free_road import free_pixels, free_ranges
from objectomaly_ros.geometry.placement import Placement
from objectomaly_ros.geometry.posts import posts
from objectomaly_ros.geometry.scan import scan_ranges
from objectomaly_ros.geometry.view import View
from objectomaly_ros.obstacles.stage import Obstacles
from objectomaly_ros.offline.block import Refined

MAX_RANGE_M, MAX_RELATIVE_ERROR = 60.0, 0.3
POST_HEIGHT_M = 1.0
BEAMS = BeamSettings()
TYPES = {
    "points": planner_messages.CLOUD,
    "scan": planner_messages.SCAN,
    "free": planner_messages.CLOUD,
    "footprints": planner_messages.FOOTPRINT,
}
"""Output -> type of its messages."""


class PlannerOutputs:
    """Writes the outputs of one stream.

    Args:
        topics: of each output.
        threshold: of obstacles.
    """

    def __init__(self, topics: Mapping[str, str], threshold: float) -> None:
        self._topics = topics
        self._threshold = threshold
        self._beams: tuple[View, Beams] | None = None

    def write(
        self,
        writer: BagWriter,
        refined: Refined,
        obstacles: Obstacles,
        placements: Sequence[Placement],
        view: View,
        stamp_ns: int,
        log_time: int,
    ) -> None:
        """Write the outputs of one frame, whose obstacles have their numbers as ids."""
        at = writer.store, stamp_ns, view.frame
        found = post_records(obstacles, posts(placements, POST_HEIGHT_M))
        writer.write(self._topics["points"], planner_messages.cloud(*at, found), log_time)
        if self._beams is None or self._beams[0] is not view:
            self._beams = view, Beams(view, obstacles.mask.shape, np.eye(4), BEAMS)
        beams, road = self._beams[1], refined.frame.detection.road
        free = None
        if beams.count and road is not None:
            pixels = free_pixels(road, obstacles, refined.score, self._threshold)
            free = free_ranges(beams, pixels, obstacles.regions, placements, view)
            ends = planner_messages.cloud(*at, free_records(beams, free, 0.0))
            writer.write(self._topics["free"], ends, log_time)
        if beams.count:
            ranges = scan_ranges(
                beams,
                free,
                placements,
                range_min=BEAMS.range_min,
                range_max=BEAMS.range_max,
                inf_is_valid=False,
            )
            scan = planner_messages.laser_scan(*at, beams, ranges, BEAMS)
            writer.write(self._topics["scan"], scan, log_time)
        for number, corners in _footprints(obstacles, placements, view).items():
            message = planner_messages.footprint(*at, number, corners)
            writer.write(self._topics["footprints"], message, log_time)


def _footprints(
    obstacles: Obstacles, placements: Sequence[Placement], view: View
) -> dict[int, Any]:
    """Return the corners of footprints, the nearest last; first those numbers, as one without id.

    The first message of a frame tells in its corners which footprints follow.
    """
    found = footprints(obstacles.ids, placements, view.position)
    return {NO_OBSTACLE: [(number, 0) for number in found], **found}


class Numbers:
    """Replaces the numbers of obstacles in the outputs of one stream by their ids."""

    def __init__(self) -> None:
        self._footprints: set[int] = set()

    def cloud(self, message: Any, ids: Sequence[int]) -> None:
        """Set the ids of a cloud of posts."""
        points = np.frombuffer(bytes(message.data), POINT).copy()
        if len(points):
            points["id"] = np.array([0, *ids], np.uint32)[points["id"]]
        message.data = np.frombuffer(points.tobytes(), np.uint8)

    def footprints(self, store: Any, message: Any, ids: Sequence[int]) -> list[Any]:
        """Return the messages that take the place of a footprint.

        As in the node, a footprint without corners replaces that of an obstacle that is gone, and
        every frame has one more.
        """
        polygon = message.polygon
        if polygon.id != NO_OBSTACLE:
            polygon.id = ids[polygon.id - 1]
            return [message]
        now = {ids[int(corner.x) - 1] for corner in polygon.polygon.points}
        gone = sorted(self._footprints - now)
        self._footprints = now
        stamp = message.header.stamp
        stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
        return [
            planner_messages.footprint(store, stamp_ns, message.header.frame_id, number, ())
            for number in (*gone, NO_OBSTACLE)
        ]
