"""Small models of what Nav2 makes of our messages: Collision Monitor and ObstacleLayer.

Written from the rules of nav2_collision_monitor and nav2_costmap_2d (Nav2 at commit a3a97043) and
laser_geometry (22f3aa94), with their default parameters; docs/planners.md names the files. The
frame of the messages is the robot's base frame.
"""

import math

import numpy as np
from messages_in import seconds, xyz

STOP_POLYGON = ((0.3, 0.3), (0.3, -0.3), (0.0, -0.3), (0.0, 0.3))
"""collision_monitor_params.yaml: PolygonStop."""


class PointCloudSource:
    """Takes points at heights within limits, on condition that the newest cloud is fresh."""

    def __init__(self, min_height=0.05, max_height=0.5, min_range=0.0, source_timeout=2.0):
        self.heights, self.min_range = (min_height, max_height), min_range
        self.source_timeout = source_timeout
        self.newest = None

    def take(self, message):
        self.newest = message

    def points(self, now):
        """Return x, y, (N, 2); None from an invalid source."""
        if self.newest is None or _is_old(self.newest.header, now, self.source_timeout):
            return None
        return self._collisions(self.newest)

    def _collisions(self, message):
        points = xyz(message)
        low, high = self.heights
        keep = (points[:, 2] >= low) & (points[:, 2] <= high)
        keep &= np.linalg.norm(points, axis=1) >= self.min_range
        return points[keep, :2]


class ScanSource(PointCloudSource):
    """Takes ranges between range_min and range_max, at any height."""

    def _collisions(self, message):
        ranges = np.asarray(message.ranges, float)
        with np.errstate(invalid="ignore"):
            keep = (ranges >= message.range_min) & (ranges <= message.range_max)
        return _ends(message, keep)


class PolygonSource:
    """Keeps the newest polygon of each id until it is old; invalid while it has none at all."""

    def __init__(self, sampling_distance=0.1, source_timeout=2.0):
        self.step, self.source_timeout = sampling_distance, source_timeout
        self.known = {}

    def take(self, message):
        self.known[message.polygon.id] = message

    def points(self, now):
        if not self.known:
            return None
        self.known = {
            number: message
            for number, message in self.known.items()
            if now - seconds(message.header) <= self.source_timeout
        }
        sampled = []
        for message in self.known.values():
            corners = [(p.x, p.y) for p in message.polygon.polygon.points]
            for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
                count = max(math.ceil(math.hypot(bx - ax, by - ay) / self.step), 1)
                share = np.arange(count + 1) / count
                sampled.append(np.column_stack([ax + share * (bx - ax), ay + share * (by - ay)]))
        return np.concatenate(sampled) if sampled else np.empty((0, 2))


class CollisionMonitor:
    """Stops for points in the stop polygon, and for a source that is silent."""

    def __init__(self, sources, polygon=STOP_POLYGON, min_points=4):
        self.sources, self.polygon, self.min_points = sources, polygon, min_points

    def stops(self, now):
        """Return why the robot must stop; None if it may go on."""
        found = []
        for name, source in self.sources.items():
            points = source.points(now)
            if points is not None:
                found.append(points)
            elif source.source_timeout != 0:
                return f"invalid source {name}"
        inside = sum(_inside(points, self.polygon) for points in found)
        return f"{inside} points" if inside >= self.min_points else None


class LayerSource:
    """One of the observation sources of an ObstacleLayer, with persistence 0: the newest counts."""

    def __init__(
        self, *, marking=True, clearing=False, min_obstacle_height=0.0, max_obstacle_height=0.0,
        obstacle_max_range=2.5, obstacle_min_range=0.0, raytrace_max_range=3.0,
        raytrace_min_range=0.0, inf_is_valid=False, expected_update_rate=0.0,
    ):  # fmt: skip
        self.marking, self.clearing = marking, clearing
        self.heights = min_obstacle_height, max_obstacle_height
        self.marks = obstacle_min_range, obstacle_max_range
        self.traces = raytrace_min_range, raytrace_max_range
        self.inf_is_valid, self.expected_update_rate = inf_is_valid, expected_update_rate
        self.origin, self.points, self.updated = np.zeros(2), np.empty((0, 3)), -math.inf

    def take(self, message, pose, now):
        """Keep the points of a PointCloud2 or LaserScan in the frame of the map.

        Args:
            pose: x, y, yaw of the robot in the map.
        """
        points = self._scanned(message) if hasattr(message, "ranges") else xyz(message)
        x, y, yaw = pose
        turn = np.array([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])
        self.origin = np.array([x, y])
        points = np.column_stack([points[:, :2] @ turn.T + self.origin, points[:, 2]])
        low, high = self.heights
        self.points = points[(points[:, 2] >= low) & (points[:, 2] <= high)]
        self.updated = now

    def _scanned(self, message):
        ranges = np.array(message.ranges, float)
        if self.inf_is_valid:
            ranges[np.isposinf(ranges)] = message.range_max - 1e-4
        with np.errstate(invalid="ignore"):
            keep = (ranges >= message.range_min) & (ranges < message.range_max)
        ends = _ends(message, keep, ranges)
        return np.column_stack([ends, np.zeros(len(ends))])


class ObstacleLayer:
    """Marks obstacles in a grid and clears the cells of rays; the grid does not roll.

    Attributes:
        lethal: (rows, columns) bool; y along rows, x along columns.
    """

    def __init__(self, sources, origin, size, resolution=0.05, max_obstacle_height=2.0):
        self.sources, self.resolution = sources, resolution
        self.corner = np.asarray(origin, float)
        self.limit = max_obstacle_height
        self.lethal = np.zeros((round(size[1] / resolution), round(size[0] / resolution)), bool)

    def is_current(self, now):
        """Return whether all sources are as fresh as they should be: else Nav2 does not drive."""
        return all(
            not source.expected_update_rate or now - source.updated <= source.expected_update_rate
            for source in self.sources.values()
        )

    def update(self):
        """Clear along the rays of all sources first, then mark the obstacles."""
        for source in self.sources.values():
            if source.clearing:
                for end in source.points[:, :2]:
                    self._clear(source, end)
        for source in self.sources.values():
            if source.marking:
                self._mark(source)

    def has_obstacle(self, low, high):
        """Return whether a cell in a box from `low` to `high`, x and y, is lethal."""
        (left, bottom), (right, top) = self._cells(np.array([low, high]))
        return bool(self.lethal[bottom : top + 1, left : right + 1].any())

    def _cells(self, points):
        return np.floor((points - self.corner) / self.resolution).astype(int)

    def _mark(self, source):
        points = source.points
        distance = np.hypot(*(points[:, :2] - source.origin).T)
        near, far = source.marks
        keep = (distance >= near) & (distance <= far)
        keep &= (points[:, 2] >= 0.0) & (points[:, 2] <= self.limit)
        columns, rows = self._cells(points[keep, :2]).T
        on = (columns >= 0) & (rows >= 0)
        on &= (columns < self.lethal.shape[1]) & (rows < self.lethal.shape[0])
        self.lethal[rows[on], columns[on]] = True

    def _clear(self, source, end):
        near, far = source.traces
        length = math.hypot(*(end - source.origin))
        if length < near:
            return
        first, last = near / max(length, 1e-9), min(1.0, far / max(length, 1e-9))
        steps = max(2, math.ceil((last - first) * length / (self.resolution / 4)))
        share = np.linspace(first, last, steps)[:, None]
        columns, rows = self._cells(source.origin + share * (end - source.origin)).T
        on = (columns >= 0) & (rows >= 0)
        on &= (columns < self.lethal.shape[1]) & (rows < self.lethal.shape[0])
        self.lethal[rows[on], columns[on]] = False


def _is_old(header, now, timeout):
    return timeout != 0 and now - seconds(header) > timeout


def _ends(message, keep, ranges=None):
    ranges = np.asarray(message.ranges if ranges is None else ranges, float)[keep]
    angles = message.angle_min + message.angle_increment * np.flatnonzero(keep)
    return np.column_stack([ranges * np.cos(angles), ranges * np.sin(angles)])


def _inside(points, polygon):
    """Count points in a polygon by ray crossings."""
    x, y = points.T
    inside = np.zeros(len(points), bool)
    (px, py) = polygon[-1]
    for qx, qy in polygon:
        crossed = (y <= py) == (y > qy)
        if py != qy:
            inside ^= crossed & (px + (y - py) * (qx - px) / (qy - py) > x)
        px, py = qx, qy
    return int(inside.sum())
