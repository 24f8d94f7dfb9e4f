"""Subscribes to the topics of one camera and publishes its results."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import PolygonInstanceStamped
from rclpy.event_handler import UnsupportedEventTypeError
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, CompressedImage, LaserScan, PointCloud2
from sensor_msgs.msg import Image as ImageMessage
from std_msgs.msg import Header

from objectomaly_ros.arrays.image_messages import ImageDecoder
from objectomaly_ros.geometry.placement import Placement
from objectomaly_ros.geometry.view import View
from objectomaly_ros.msg import ObstacleArray, RefinementStatus
from objectomaly_ros.obstacles.overlay import draw_overlay, summary_line
from objectomaly_ros.obstacles.stage import Obstacles
from objectomaly_ros.ros import detection_messages, images, messages, qos, topics
from objectomaly_ros.ros.depth_input import DepthInput
from objectomaly_ros.ros.geometry import CameraGeometry
from objectomaly_ros.ros.log import ThrottledLog
from objectomaly_ros.ros.planner_outputs import PlannerOutputs
from objectomaly_ros.ros.poses import PoseSource
from objectomaly_ros.ros.score_input import ScoreInput, comes_by_topic
from objectomaly_ros.runtime.camera_state import Counters
from objectomaly_ros.runtime.interface import BadImageError, Demand, Frame, Result
from objectomaly_ros.types import Image, ScoreMap

OUTPUTS = {
    "score": ImageMessage,
    "coarse_score": ImageMessage,
    "mask": ImageMessage,
    "overlay": ImageMessage,
    "obstacles": ObstacleArray,
    "points": PointCloud2,
    "scan": LaserScan,
    "free": PointCloud2,
    "footprints": PolygonInstanceStamped,
    "status": RefinementStatus,
}
MAX_NAMED = 5  # topics in a hint
PLANNER_OUTPUTS = ("points", "scan", "free", "footprints", "objects")  # in metres
OBSTACLES = ("mask", "overlay", "obstacles", "detections", "rois", *PLANNER_OUTPUTS)
DETECTIONS = {"detections": detection_messages.detections, "rois": detection_messages.rois}
DEPTHS = {topic.name.removeprefix("~/"): topic.depth for topic in topics.OUTPUTS}


@dataclass
class ScoreRange:
    """Range of the scores seen, from every fourth row and column."""

    frames: int = 0
    low: float = math.inf
    high: float = -math.inf

    def add(self, score: ScoreMap) -> None:
        """Take a score map in."""
        some = score[::4, ::4]
        self.frames += 1
        self.low = min(self.low, float(some.min()))
        self.high = max(self.high, float(some.max()))


class Camera:
    """Subscriptions and publishers of one camera.

    The engine's thread publishes, the executor's thread does the rest.

    Args:
        node: owns the topics.
        name: prefix of the topics, or "".
        values: returns the node's parameters.
        threshold: returns the threshold of obstacles, None without any.
        poses: poses of the cameras.
        log: takes warnings.
    """

    def __init__(
        self,
        node: LifecycleNode,
        name: str,
        values: Callable[[], Mapping[str, Any]],
        threshold: Callable[[], float | None],
        poses: PoseSource,
        log: ThrottledLog,
    ) -> None:
        self._node = node
        self._name = name
        self._values = values
        self._threshold = threshold
        self._log = log
        prefix = f"{name}/" if name else ""
        self._compressed = values()["image_transport"] == "compressed"
        self._max_pixels = values()["max_pixels"]
        self.name_of_image = f"{prefix}image"
        self.topic = self._image_topic(self.name_of_image)
        self._decoder = ImageDecoder(
            self._max_pixels,
            lambda text: log.warn(f"decoder {self.topic}", f"images on {self.topic}: {text}"),
        )
        self._info_topic = node.resolve_topic_name(f"{prefix}camera_info")
        self.scores: ScoreInput | None = None
        if comes_by_topic(values()):
            topic = node.resolve_topic_name(f"{prefix}score_in")
            self.scores = ScoreInput(topic, self._max_pixels, log.warn)
        self.depth: DepthInput | None = None
        if values()["depth.use"]:
            topic = node.resolve_topic_name(f"{prefix}depth")
            self.depth = DepthInput(topic, self._max_pixels, log.warn)
        self.geometry = CameraGeometry(self._info_topic, poses, log.warn, values, self.topic)
        self._subscriptions: list[Any] = []
        self.lost = 0
        self.unreadable = 0
        self.seen = ScoreRange()
        self._publishers = {
            output: self._publisher(kind, f"~/{prefix}{output}", DEPTHS[output])
            for output, kind in (OUTPUTS | detection_messages.kinds()).items()
        }
        self._buffers = {
            output: ImageMessage() for output, kind in OUTPUTS.items() if kind is ImageMessage
        }
        self._planner = PlannerOutputs(
            name, values, threshold, poses, log.warn, self._wanted, self._send
        )
        self._lowest: float | None = None
        self._newest: tuple[Header, float] | None = None  # image with results, and its arrival

    def _image_topic(self, base: str) -> str:
        if not self._compressed:
            return str(self._node.resolve_topic_name(base))
        own = f"{base}/compressed"
        remapped = self._node.resolve_topic_name(own)
        if remapped != self._node.resolve_topic_name(own, only_expand=True):
            return str(remapped)
        # As in image_transport, a remapping of the image holds for its compressed topic too.
        return f"{self._node.resolve_topic_name(base)}/compressed"

    def _publisher(self, kind: type, name: str, depth: int) -> Any:
        topic = self._node.resolve_topic_name(name)
        return self._node.create_lifecycle_publisher(
            kind,
            name,
            qos.output_qos(depth),
            event_callbacks=qos.publisher_events(topic, self._log.warn),
            qos_overriding_options=qos.overrides(),
        )

    def subscribe(self, submit: Callable[[Frame], None]) -> None:
        """Hand every image to `submit` from now on."""
        self.seen = ScoreRange()
        self._newest = None
        take = submit if self.scores is None else self.scores.start(submit)

        def image(message: Any) -> None:
            stamp, received = message.header.stamp, time.monotonic()
            stamp_s = stamp.sec + stamp.nanosec * 1e-9
            take(Frame(self._name, stamp_s, received, message))

        kind = CompressedImage if self._compressed else ImageMessage
        self._subscriptions = [
            self._subscription(kind, self.topic, image),
            self._subscription(CameraInfo, self._info_topic, self.geometry.take),
        ]
        if self.scores is not None:
            self._subscriptions.append(
                self._subscription(ImageMessage, self.scores.topic, self.scores.take_score)
            )
        if self.depth is not None:
            self.depth.clear()
            self._subscriptions.append(
                self._subscription(ImageMessage, self.depth.topic, self.depth.take)
            )

    def _subscription(self, kind: type, topic: str, callback: Callable[[Any], None]) -> Any:
        def create(lost: Callable[[int], None] | None) -> Any:
            return self._node.create_subscription(
                kind,
                topic,
                callback,
                qos.input_qos(),
                event_callbacks=qos.subscription_events(topic, self._log.warn, lost),
                qos_overriding_options=qos.overrides(),
            )

        try:
            return create(self._count_lost)
        except UnsupportedEventTypeError:  # some middlewares do not count lost messages
            return create(None)

    def _count_lost(self, messages_lost: int) -> None:
        self.lost += messages_lost

    def unsubscribe(self) -> None:
        """Stop taking images."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def destroy(self) -> None:
        """Unsubscribe and destroy the publishers."""
        self.unsubscribe()
        if "status" in self._publishers:
            self._publishers["status"].wait_for_all_acked(qos.LAST_WORDS)
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers = {}

    @property
    def inputs(self) -> tuple[str, ...]:
        """Topics that a score needs."""
        return (self.topic,) if self.scores is None else (self.topic, self.scores.topic)

    @property
    def topics(self) -> tuple[str, ...]:
        """All topics that come in."""
        depth = () if self.depth is None else (self.depth.topic,)
        return (*self.inputs, self._info_topic, *depth)

    def publishers_of_image(self) -> int:
        """Return the number of publishers on the image topic."""
        return int(self._node.count_publishers(self.topic))

    def other_images(self) -> list[str]:
        """Return some topics on which images are published now, but for the node's own."""
        kind = f"sensor_msgs/msg/{'CompressedImage' if self._compressed else 'Image'}"
        own = f"{self._node.get_fully_qualified_name()}/"
        return [
            topic
            for topic, kinds in self._node.get_topic_names_and_types()
            if kind in kinds and not topic.startswith(own) and self._node.count_publishers(topic)
        ][:MAX_NAMED]

    def decode(self, frame: Frame) -> Image:
        """Return the image of a frame; a BadImageError names the topic."""
        try:
            return self._decoder.decode(frame.message)
        except ValueError as error:
            raise BadImageError(f"an image on {self.topic} is skipped: {error}") from error

    def demand(self) -> Demand:
        """Return which results have subscribers."""
        obstacles = any(map(self._wanted, OBSTACLES))
        return Demand(score=obstacles or self._wanted("score"), obstacles=obstacles)

    def _wanted(self, output: str) -> bool:
        publisher = self._publishers.get(output)
        return publisher is not None and publisher.get_subscription_count() > 0

    def publish_coarse(self, frame: Frame, score: ScoreMap) -> None:
        """Publish the coarse score."""
        self._publish_image("coarse_score", frame, score, "32FC1")

    def places_obstacles(self) -> bool:
        """Return whether an output in metres has subscribers."""
        return any(map(self._wanted, PLANNER_OUTPUTS))

    def result_age_s(self, now: float) -> float:
        """Return the seconds since the arrival of the newest image with results, or infinity."""
        return math.inf if self._newest is None else now - self._newest[1]

    def publish_problem(self, problem: str, counters: Counters) -> None:
        """Publish a status with the header of the newest image with results, and nothing else."""
        if self._wanted("status"):
            header = Header() if self._newest is None else self._newest[0]
            status = messages.status_without_image(header, self._name, problem, counters)
            self._publishers["status"].publish(status)

    def publish(self, result: Result, problem: Callable[[], str]) -> None:
        """Publish everything else; `problem` returns why the results may not be acted on."""
        self.seen.add(result.refined.score)
        frame, header = result.frame, result.frame.message.header
        self._newest = header, frame.received_s
        self._publish_image("score", frame, result.refined.score, "32FC1")
        placements = None
        if result.obstacles is not None:
            height, width = result.obstacles.mask.shape
            view = self.geometry.view((height, width), header)
            if view is not None:
                placements = self._place(result.obstacles, view, header)
            self._publish_obstacles(result, result.obstacles, view, placements)
        if self._wanted("overlay"):
            self._publish_image("overlay", frame, self._draw(result, placements), "rgb8")
        if self._wanted("status"):
            latency = time.monotonic() - frame.received_s
            status = messages.status(header, result, latency, problem())
            self._publishers["status"].publish(status)

    def _place(self, obstacles: Obstacles, view: View, header: Header) -> list[Placement] | None:
        depth = None
        if self.depth is not None and obstacles.regions:
            height, width = obstacles.mask.shape
            depth = self.depth.of(header.stamp, (height, width))
        return self.geometry.place(obstacles, view, depth)

    def _publish_obstacles(
        self,
        result: Result,
        obstacles: Obstacles,
        view: View | None,
        placements: list[Placement] | None,
    ) -> None:
        frame, header = result.frame, result.frame.message.header
        if self._wanted("mask"):
            labels = obstacles.labels(self._values()["mask_value"])
            self._publish_image("mask", frame, labels, "mono8")
        if self._wanted("obstacles"):
            refined = result.refined.mask_count is not None
            self._publishers["obstacles"].publish(
                messages.obstacle_array(header, obstacles, placements or (), refined=refined)
            )
        for output, make in DETECTIONS.items():
            if self._wanted(output):
                self._send(output, make(header, obstacles))
        if view is not None and placements is not None and self.geometry.blind is None:
            self._planner.publish(result, obstacles, view, placements)
        elif self.places_obstacles():
            wanted = [
                self._publishers[output].topic_name
                for output in PLANNER_OUTPUTS
                if self._wanted(output)
            ]
            self._log.warn(
                f"points {self._name}",
                f"no usable CameraInfo on {self._info_topic} yet: no {', '.join(wanted)} "
                "without it",
            )

    def _send(self, output: str, message: Any) -> None:
        self._publishers[output].publish(message)

    def _draw(self, result: Result, placements: list[Placement] | None) -> Image:
        refined, obstacles = result.refined, result.obstacles
        regions = obstacles.regions if obstacles else ()
        ranges = (
            [placed.range_m for placed in placements] if placements else [math.nan] * len(regions)
        )
        age = None if refined.mask_count is None else refined.age_frames
        return draw_overlay(
            result.image,
            refined.score,
            obstacles.mask if obstacles else None,
            regions,
            obstacles.ids if obstacles else (),
            [summary_line(ranges, age)],
            ranges=ranges,
            limits=self._limits(refined.score),
        )

    def _limits(self, score: ScoreMap) -> tuple[float, float] | None:
        """Return the limits of the colours, with the threshold in the middle."""
        low = float(np.nanmin(score))
        self._lowest = low if self._lowest is None else 0.95 * self._lowest + 0.05 * low
        threshold = self._threshold()
        if threshold is None or threshold <= self._lowest:
            return None
        return self._lowest, 2 * threshold - self._lowest

    def _publish_image(
        self, output: str, frame: Frame, pixels: npt.NDArray[Any], encoding: str
    ) -> None:
        if self._wanted(output):
            message = images.fill(self._buffers[output], pixels, encoding)
            message.header = frame.message.header
            self._publishers[output].publish(message)
