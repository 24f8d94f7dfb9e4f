"""The node's topics and services: types, contents, quality of service. Imports no rclpy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """A topic of one camera.

    Attributes:
        name: `~` is the node's name. With `camera_names`, the camera's name comes before the last
            part: front/image, ~/front/score.
        type: package/Message.
        content: in a few words.
        when: the condition under which the topic exists; empty if it always does.
        depth: of the queue.
        reliable: as the node asks for it (input) or offers it (output).
    """

    name: str
    type: str
    content: str
    when: str = ""
    depth: int = 5
    reliable: bool = True


def _input(name: str, kind: str, content: str, when: str = "") -> Topic:
    """Take sensor data: best effort matches every publisher.

    The queue is deeper than usual, so that images are dropped and counted in the node's own queue
    only.
    """
    return Topic(name, kind, content, when, depth=10, reliable=False)


IMAGE = "sensor_msgs/Image"

INPUTS = (
    _input("image", IMAGE, "the camera's images", "with image_transport raw"),
    _input("image/compressed", "sensor_msgs/CompressedImage", "the camera's images",
           "with image_transport compressed"),
    _input("camera_info", "sensor_msgs/CameraInfo", "for ranges and outputs in metres"),
    _input("depth", IMAGE, "16UC1 in mm or 32FC1 in m, aligned to the image", "with depth.use"),
    _input("score_in", IMAGE, "32FC1: the coarse score of another node",
           "with detector.name precomputed and no checkpoint"),
)  # fmt: skip

OUTPUTS = (
    Topic("~/score", IMAGE, "32FC1, refined if masks are ready, else coarse"),
    Topic("~/coarse_score", IMAGE, "32FC1, the detector alone"),
    Topic("~/mask", IMAGE, "mono8: 0 free, 1 obstacle, 255 ignore"),
    Topic("~/overlay", IMAGE, "rgb8, for people"),
    Topic("~/obstacles", "objectomaly_ros/ObstacleArray", "id, score, box and range of each"),
    Topic("~/points", "sensor_msgs/PointCloud2", "posts over the ground contact of the obstacles"),
    Topic("~/scan", "sensor_msgs/LaserScan", "obstacles and free road"),
    Topic("~/free", "sensor_msgs/PointCloud2", "far end of the free road"),
    Topic("~/footprints", "geometry_msgs/PolygonInstanceStamped", "one for each obstacle",
          depth=100),
    Topic("~/detections", "vision_msgs/Detection2DArray", "boxes in pixels",
          "with vision_msgs installed"),
    Topic("~/objects", "autoware_perception_msgs/DetectedObjects", "for Autoware, in metres",
          "with autoware_perception_msgs installed"),
    Topic("~/rois", "tier4_perception_msgs/DetectedObjectsWithFeature", "for Autoware, in pixels",
          "with both Autoware packages installed"),
    Topic("~/status", "objectomaly_ros/RefinementStatus", "health, stage times, age of the masks"),
)  # fmt: skip

DIAGNOSTICS = Topic("/diagnostics", "diagnostic_msgs/DiagnosticArray",
                    "rates, latency, drops, device, last error", depth=10)  # fmt: skip

SERVICES = (
    ("~/refine", "std_srvs/Trigger", "make masks for the next frame"),
    ("~/learn", "std_srvs/SetBool", "true: images are normal from now on; false: learn from them"),
)
