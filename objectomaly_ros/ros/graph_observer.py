"""Listens to a running ROS graph for some seconds, for `objectomaly doctor --graph`."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from objectomaly_ros.arrays.image_messages import ImageDecoder
from objectomaly_ros.doctor.calibration import camera_infos
from objectomaly_ros.doctor.graph import (
    CAMERA_INFO,
    COMPRESSED,
    IMAGE,
    Calibration,
    Endpoint,
    Graph,
    Images,
    NodeSeen,
    Seen,
    Status,
    Topic,
)
from objectomaly_ros.geometry.transform_tree import TransformSeen
from objectomaly_ros.msg import RefinementStatus
from objectomaly_ros.ros import qos
from objectomaly_ros.ros.executor import ResilientExecutor
from objectomaly_ros.ros.graph_calibrations import GEOMETRY, judge_calibrations

try:
    from tf2_msgs.msg import TFMessage
except ImportError:  # not on PyPI
    TFMessage = None

logger = logging.getLogger(__name__)

STATUS_KIND = "objectomaly_ros/msg/RefinementStatus"
_LOOK_S = 0.25
_DISCOVERY_S = 3.0  # nodes find each other within so many seconds
_NAMELESS = "_NODE_NAMESPACE_UNKNOWN_/_NODE_NAME_UNKNOWN_"  # before discovery has ended
_LATCHED = QoSProfile(
    depth=100,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
_BEST_EFFORT = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)


def observe(wanted: str, seconds: float) -> Graph:
    """Look at the graph of this process's ROS_DOMAIN_ID.

    Args:
        wanted: full name of the node of this package.
        seconds: how long to listen, from when the node was found.

    Raises:
        RuntimeError: no ROS node can be made here.
    """
    context = rclpy.Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        with closing(GraphObserver(context, f"/{wanted.lstrip('/')}", seconds)) as observer:
            observer.listen()
            return observer.graph
    finally:
        context.try_shutdown()


class GraphObserver:
    """Fills a `Graph`.

    Attributes:
        graph: complete after `listen`.
    """

    def __init__(self, context: Any, wanted: str, seconds: float) -> None:
        self.graph = Graph(wanted, seconds, tf_readable=TFMessage is not None)
        self._node = Node(
            "_objectomaly_doctor",
            context=context,
            start_parameter_services=False,
            enable_rosout=False,
            use_global_arguments=False,
        )
        self._executor = ResilientExecutor(
            partial(logger.warning, "%s: %s"), self.graph.unreadable.add, context=context
        )
        self._executor.add_node(self._node)
        self._heard: set[str] = set()
        self._asked: dict[str, _Question] = {}
        self._infos: dict[str, Any] = {}
        self._clock_s: float | None = None

    def close(self) -> None:
        """Destroy the node."""
        self._executor.shutdown()
        self._node.destroy_node()

    def listen(self) -> None:
        """Watch the graph for its seconds."""
        began = time.monotonic()
        end, next_look = began + self.graph.seconds, began
        while (now := time.monotonic()) < end:
            if now >= next_look:
                next_look = now + _LOOK_S
                self._look()
                if self._unknown() and now < began + _DISCOVERY_S:
                    end = now + self.graph.seconds
            self._executor.spin_once(timeout_sec=0.05)
        self._look()
        self._take_answers()
        self.graph.keep_cameras()
        judge_calibrations(self.graph, self._infos)

    def _unknown(self) -> bool:
        """Tell whether the node was not found yet, or the name of some node."""
        ends = (end.node for t in self.graph.topics.values() for end in t.publishers)
        return self.graph.node is None or _NAMELESS in ends

    def _look(self) -> None:
        """Take in nodes and topics, and subscribe to what is new and of interest."""
        graph, own = self.graph, self._node.get_fully_qualified_name()
        nodes = self._node.get_node_names_and_namespaces()
        names = [f"{space.rstrip('/')}/{name}" for name, space in nodes]
        graph.nodes = sorted(name for name in names if name != own)
        graph.topics = {
            name: Topic(
                name,
                _ends(self._node.get_publishers_info_by_topic(name), own),
                _ends(self._node.get_subscriptions_info_by_topic(name), own),
            )
            for name, _ in self._node.get_topic_names_and_types()
        }
        ours = [
            end.node
            for topic in graph.topics.values()
            for end in topic.publishers
            if end.kind == STATUS_KIND and end.node != _NAMELESS
        ]
        if graph.node is None and graph.wanted in graph.nodes:
            graph.node = NodeSeen(graph.wanted)
        graph.others = sorted(set(ours) - {graph.wanted})
        if graph.node is not None:
            self._look_at(graph.node)
        self._subscribe_all()

    def _look_at(self, node: NodeSeen) -> None:
        self._ask(GetState, "get_state", GetState.Request())
        self._ask(ListParameters, "list_parameters", ListParameters.Request())
        known = self._asked["list_parameters"].answer()
        if known is not None:  # of names that it does not have, it would answer none
            names = [name for name in ("use_sim_time", *GEOMETRY) if name in known.result.names]
            self._ask(GetParameters, "get_parameters", GetParameters.Request(names=names))
        images, infos = set(), set()
        for topic in self.graph.topics.values():
            for end in topic.subscriptions:
                if end.node == node.name and end.kind in (IMAGE, COMPRESSED):
                    images.add(topic.name)
                elif end.node == node.name and end.kind == CAMERA_INFO:
                    infos.add(topic.name)
        node.images, node.infos = sorted(images), sorted(infos)

    def _ask(self, kind: Any, service: str, request: Any) -> None:
        if service not in self._asked:
            client = self._node.create_client(kind, f"{self.graph.wanted}/{service}")
            self._asked[service] = _Question(client, request)

    def _subscribe_all(self) -> None:
        graph = self.graph
        for name in graph.heard_images():
            self._hear_images(name)
        for _, name in camera_infos(graph):
            self._hear(CameraInfo, name, self._take_info, qos.input_qos())
        self._hear(Clock, "/clock", self._take_clock, _BEST_EFFORT)
        if TFMessage is not None:
            self._hear(TFMessage, "/tf", self._take_transforms, _BEST_EFFORT)
            self._hear(TFMessage, "/tf_static", self._take_transforms, _LATCHED)
        if graph.node is not None:
            self._hear(DiagnosticArray, "/diagnostics", self._take_diagnostics, _BEST_EFFORT)
            for topic in graph.topics.values():
                if any(e.kind == STATUS_KIND and e.node == graph.wanted for e in topic.publishers):
                    self._hear(RefinementStatus, topic.name, self._take_status, _BEST_EFFORT)
        for question in self._asked.values():
            question.ask()

    def _hear_images(self, name: str) -> None:
        for text, kind in ((IMAGE, Image), (COMPRESSED, CompressedImage)):
            if self.graph.topic(name).has(text):
                self._hear(kind, name, self._take_image, qos.input_qos())

    def _hear(
        self, kind: Any, name: str, take: Callable[[str, Any], None], profile: QoSProfile
    ) -> None:
        if name in self._heard or not self.graph.topic(name).publishers:
            return
        self._heard.add(name)
        self._node.create_subscription(kind, name, lambda message: take(name, message), profile)

    def _seen(self, header: Any) -> Seen:
        return Seen(_seconds(header.stamp), header.frame_id, time.time(), self._clock_s)

    def _take_image(self, name: str, message: Any) -> None:
        images = self.graph.images.setdefault(name, Images())
        images.messages.append(self._seen(message.header))
        images.bytes = len(message.data)
        encoding = getattr(message, "encoding", None)
        key = message.format if encoding is None else encoding
        if encoding is not None:
            images.size = (message.width, message.height)
        if key in images.encodings:
            return
        try:
            height, width, _ = ImageDecoder().decode(message).shape
            images.size, images.encodings[key] = (width, height), None
        except ValueError as error:
            images.encodings[key] = str(error)

    def _take_info(self, name: str, message: Any) -> None:
        found = self.graph.infos.setdefault(name, Calibration())
        found.messages.append(self._seen(message.header))
        found.size = (message.width, message.height)
        self._infos[name] = message

    def _take_clock(self, name: str, message: Any) -> None:
        self._clock_s = _seconds(message.clock)
        self.graph.clock.append((self._clock_s, time.time()))

    def _take_transforms(self, name: str, message: Any) -> None:
        for one in message.transforms:
            move, turn = one.transform.translation, one.transform.rotation
            parent, child = (text.lstrip("/") for text in (one.header.frame_id, one.child_frame_id))
            self.graph.transforms[child, parent] = TransformSeen(
                parent,
                child,
                (move.x, move.y, move.z),
                (turn.x, turn.y, turn.z, turn.w),
                name == "/tf_static",
                _seconds(one.header.stamp),
                time.time(),
            )

    def _take_diagnostics(self, name: str, message: Any) -> None:
        node = self.graph.node
        if node is not None:
            own = node.name.lstrip("/")
            for status in message.status:
                if status.name == own or status.name.startswith(f"{own}:"):
                    node.diagnostics[status.name] = (status.level[0], status.message)

    def _take_status(self, name: str, message: Any) -> None:
        node = self.graph.node
        if node is not None:
            node.statuses.setdefault(message.camera, []).append(
                Status(
                    self._seen(message.header),
                    message.healthy,
                    message.problem,
                    message.frames_received,
                    message.frames_scored,
                )
            )

    def _take_answers(self) -> None:
        node = self.graph.node
        answers = {service: question.answer() for service, question in self._asked.items()}
        if node is None:
            return
        if (state := answers.get("get_state")) is not None:
            node.state = state.current_state.label
        if (found := answers.get("get_parameters")) is not None:
            names = self._asked["get_parameters"].request.names
            values = map(parameter_value_to_python, found.values)
            node.parameters = dict(zip(names, values, strict=False))


class _Question:
    """A request of a service, made as soon as the service is there."""

    def __init__(self, client: Any, request: Any) -> None:
        self._client = client
        self.request = request
        self._future: Any = None

    def ask(self) -> None:
        """Send the request if it can be sent and was not."""
        if self._future is None and self._client.service_is_ready():
            self._future = self._client.call_async(self.request)

    def answer(self) -> Any:
        """Return the answer; None if there is none."""
        done = self._future is not None and self._future.done()
        return self._future.result() if done else None


def _ends(infos: Iterable[Any], own: str) -> tuple[Endpoint, ...]:
    ends = (
        Endpoint(
            f"{info.node_namespace.rstrip('/')}/{info.node_name}",
            info.topic_type,
            info.qos_profile.reliability.name.lower(),
            info.qos_profile.durability.name.lower(),
            info.qos_profile.liveliness.name.lower(),
            _limit(info.qos_profile.deadline),
            _limit(info.qos_profile.liveliness_lease_duration),
        )
        for info in infos
    )
    return tuple(end for end in ends if end.node != own)


def _limit(duration: Any) -> float:
    """Return a duration in seconds; middlewares have several numbers for "not set"."""
    seconds = float(duration.nanoseconds) * 1e-9
    return seconds if 0 < seconds < 1e9 else math.inf


def _seconds(stamp: Any) -> float:
    return float(stamp.sec + stamp.nanosec * 1e-9)
