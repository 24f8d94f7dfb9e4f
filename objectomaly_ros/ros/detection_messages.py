"""Makes messages of vision_msgs and of Autoware, as far as their packages are installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import Point32
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header

from objectomaly_ros.geometry.footprint import footprint
from objectomaly_ros.geometry.placement import Placement
from objectomaly_ros.geometry.view import View
from objectomaly_ros.obstacles.extraction import Region
from objectomaly_ros.obstacles.stage import Obstacles

try:
    import vision_msgs.msg as vision
except ImportError:
    vision = None
try:
    import autoware_perception_msgs.msg as autoware
except ImportError:
    autoware = None
try:
    import tier4_perception_msgs.msg as tier4
except ImportError:
    tier4 = None

CLASS = "anomaly"


def kinds() -> dict[str, type]:
    """Return the outputs whose messages are installed, and their types."""
    found: dict[str, type] = {}
    if vision is not None:
        found["detections"] = vision.Detection2DArray
    if autoware is not None:
        found["objects"] = autoware.DetectedObjects
        if tier4 is not None:
            found["rois"] = tier4.DetectedObjectsWithFeature
    return found


def detections(header: Header, obstacles: Obstacles) -> Any:
    """Make a vision_msgs/Detection2DArray: boxes in pixels of the image."""
    found = []
    for region, track_id in zip(obstacles.regions, obstacles.ids, strict=True):
        hypothesis = vision.ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id = CLASS
        hypothesis.hypothesis.score = _probability(region)
        detection = vision.Detection2D(header=header, results=[hypothesis], id=str(track_id))
        x, y, width, height = region.box
        center = detection.bbox.center.position
        center.x, center.y = x + width / 2, y + height / 2
        detection.bbox.size_x, detection.bbox.size_y = float(width), float(height)
        found.append(detection)
    return vision.Detection2DArray(header=header, detections=found)


def objects(stamp: Any, view: View, obstacles: Obstacles, placements: Sequence[Placement]) -> Any:
    """Make autoware_perception_msgs/DetectedObjects of the obstacles with contact points.

    Each is a hazard with its footprint, in the base frame. Its pose is in the middle of its box.
    """
    found = []
    for region, placed in zip(obstacles.regions, placements, strict=True):
        corners = footprint(placed, view.position)
        if corners is not None:
            found.append(_object(region, placed, corners.astype(np.float64)))
    header = Header(stamp=stamp, frame_id=view.frame)
    return autoware.DetectedObjects(header=header, objects=found)


def rois(header: Header, obstacles: Obstacles) -> Any:
    """Make tier4_perception_msgs/DetectedObjectsWithFeature: boxes in pixels of the image."""
    found = []
    for region in obstacles.regions:
        entry = tier4.DetectedObjectWithFeature()
        entry.object = _hazard(region)
        x, y, width, height = region.box
        entry.feature.roi = RegionOfInterest(x_offset=x, y_offset=y, width=width, height=height)
        found.append(entry)
    return tier4.DetectedObjectsWithFeature(header=header, feature_objects=found)


def _hazard(region: Region) -> Any:
    probability = _probability(region)
    kind = autoware.ObjectClassification
    # Older releases know no HAZARD.
    label = kind(label=getattr(kind, "HAZARD", kind.UNKNOWN), probability=probability)
    return autoware.DetectedObject(existence_probability=probability, classification=[label])


def _object(region: Region, placed: Placement, corners: npt.NDArray[np.float64]) -> Any:
    found = _hazard(region)
    low, high = corners.min(axis=0), corners.max(axis=0)
    middle, size = (low + high) / 2, high - low
    bottom = placed.nearest[2]
    pose = found.kinematics.pose_with_covariance
    position = pose.pose.position
    position.x, position.y = float(middle[0]), float(middle[1])
    position.z = bottom + placed.height / 2
    variance = np.zeros(36)
    variance[[0, 7]] = placed.nearest_std**2
    pose.covariance = variance
    found.kinematics.has_position_covariance = True
    shape = found.shape
    shape.type = type(shape).POLYGON
    shape.footprint.points = [Point32(x=float(x), y=float(y)) for x, y in corners - middle]
    shape.dimensions.x, shape.dimensions.y = float(size[0]), float(size[1])
    shape.dimensions.z = placed.height
    return found


def _probability(region: Region) -> float:
    return min(max(region.score, 0.0), 1.0)
