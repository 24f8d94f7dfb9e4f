"""Rosbag2 recordings without ROS: made from frames, read as images and results, even damaged."""

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.images import read_images, read_masks, read_scores
from objectomaly_ros.bags.make import write_frames_bag
from objectomaly_ros.bags.messages import Intrinsics
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.bags.writer import BagWriter

__all__ = [
    "Bag",
    "BagError",
    "BagWriter",
    "Intrinsics",
    "read_images",
    "read_masks",
    "read_scores",
    "write_frames_bag",
]
