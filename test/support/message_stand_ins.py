"""Stand-ins for message packages that are on no package index: their fields, with types checked.

Names and types of the fields are those of vision_msgs 4, autoware_perception_msgs 1 and
tier4_perception_msgs; nested messages of ROS itself are the real ones.
"""

import sys
from types import ModuleType
from typing import ClassVar

import numpy as np
from geometry_msgs.msg import Polygon, PoseWithCovariance, TwistWithCovariance, Vector3
from sensor_msgs.msg import PointCloud2, RegionOfInterest
from std_msgs.msg import Header


class Message:
    """A message of the fields in FIELDS: name -> type, or a list with the type of its items."""

    FIELDS: ClassVar = {}

    def __init__(self, **values):
        for name, kind in self.FIELDS.items():
            setattr(self, name, values.pop(name, [] if isinstance(kind, list) else kind()))
        assert not values, f"{type(self).__name__} has no {', '.join(values)}"

    def __setattr__(self, name, value):
        kind = self.FIELDS[name]
        if isinstance(kind, list):
            assert isinstance(value, list), name
            assert all(isinstance(item, kind[0]) for item in value), name
        else:
            assert isinstance(value, kind), f"{name} is a {type(value).__name__}"
            assert kind is not int or 0 <= value <= 255, f"{name} is no uint8"
        super().__setattr__(name, value)


def message(name, **fields):
    return type(name, (Message,), {"FIELDS": fields})


def package(monkeypatch, name, *messages):
    """Install messages as a package NAME.msg."""
    module = ModuleType(f"{name}.msg")
    for kind in messages:
        setattr(module, kind.__name__, kind)
    top = ModuleType(name)
    top.msg = module
    monkeypatch.setitem(sys.modules, name, top)
    monkeypatch.setitem(sys.modules, f"{name}.msg", module)
    return module


Point2D = message("Point2D", x=float, y=float)
Pose2D = message("Pose2D", position=Point2D, theta=float)
BoundingBox2D = message("BoundingBox2D", center=Pose2D, size_x=float, size_y=float)
ObjectHypothesis = message("ObjectHypothesis", class_id=str, score=float)
ObjectHypothesisWithPose = message(
    "ObjectHypothesisWithPose", hypothesis=ObjectHypothesis, pose=PoseWithCovariance
)
Detection2D = message(
    "Detection2D", header=Header, results=[ObjectHypothesisWithPose], bbox=BoundingBox2D, id=str
)
Detection2DArray = message("Detection2DArray", header=Header, detections=[Detection2D])
VISION = (ObjectHypothesisWithPose, Detection2D, Detection2DArray)

ObjectClassification = message("ObjectClassification", label=int, probability=float)
ObjectClassification.UNKNOWN, ObjectClassification.HAZARD = 0, 9
Shape = message("Shape", type=int, footprint=Polygon, dimensions=Vector3)
Shape.BOUNDING_BOX, Shape.CYLINDER, Shape.POLYGON = 0, 1, 2
DetectedObjectKinematics = message(
    "DetectedObjectKinematics",
    pose_with_covariance=PoseWithCovariance, has_position_covariance=bool,
    orientation_availability=int, twist_with_covariance=TwistWithCovariance, has_twist=bool,
    has_twist_covariance=bool,
)  # fmt: skip
DetectedObject = message(
    "DetectedObject", existence_probability=float, classification=[ObjectClassification],
    kinematics=DetectedObjectKinematics, shape=Shape,
)  # fmt: skip
DetectedObjects = message("DetectedObjects", header=Header, objects=[DetectedObject])
AUTOWARE = (ObjectClassification, Shape, DetectedObject, DetectedObjects)

Feature = message("Feature", cluster=PointCloud2, roi=RegionOfInterest)
DetectedObjectWithFeature = message(
    "DetectedObjectWithFeature", object=DetectedObject, feature=Feature
)
DetectedObjectsWithFeature = message(
    "DetectedObjectsWithFeature", header=Header, feature_objects=[DetectedObjectWithFeature]
)
TIER4 = (DetectedObjectWithFeature, DetectedObjectsWithFeature)


def covariance(pose):
    return np.asarray(pose.covariance).reshape(6, 6)
