"""Nodes with faults on purpose, for the doctor: cameras, and a stand-in for our node."""

from __future__ import annotations

import contextlib
import threading
import time
from types import SimpleNamespace

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from graph import camera_info, image_message
from objectomaly_ros.msg import RefinementStatus
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

RATE_HZ = 10.0  # other programs run on the same cores


class FaultyGraph:
    """Owns nodes that publish until it is closed."""

    def __init__(self, domain):
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._nodes = []
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self):
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def node(self, name, kind=rclpy.node.Node, **arguments):
        node = kind(name, context=self.context, **arguments)
        self._nodes.append(node)
        self._executor.add_node(node)
        return node

    def every(self, node, publish):
        node.create_timer(1 / RATE_HZ, publish)

    def camera(self, name, stamp=time.time, info=None, qos=qos_profile_sensor_data, **fields):
        """Publish images on /NAME/image, and with `info` (a function of it) also CameraInfo."""
        node = self.node(f"{name.replace('/', '_')}_driver_{len(self._nodes)}")
        images = node.create_publisher(Image, f"/{name}/image", qos)
        infos = node.create_publisher(CameraInfo, f"/{name}/camera_info", 10) if info else None

        def publish():
            message = image_message(stamp(), **fields)
            images.publish(message)
            if infos is not None:
                belonging = camera_info()
                belonging.header = message.header
                infos.publish(info(belonging) or belonging)

        self.every(node, publish)
        return node

    def stand_in(self, image="/image", state="active", qos=qos_profile_sensor_data, **parameters):
        """Make a node with our node's name and topics, and nothing behind them."""
        node = self.node("objectomaly", LifecycleNode, enable_communication_interface=True)
        for key, value in parameters.items():
            if key == "use_sim_time":
                node.set_parameters([rclpy.parameter.Parameter(key, value=value)])
            else:
                node.declare_parameter(key.replace("__", "."), value)
        if state in ("inactive", "active"):
            node.trigger_configure()
        if state == "active":
            node.trigger_activate()
            kind = CompressedImage if image.endswith("/compressed") else Image
            node.create_subscription(kind, image, lambda message: None, qos)
            node.create_subscription(CameraInfo, "/camera_info", lambda message: None, 10)
        return node

    def statuses(self, node, *, healthy=True, problem="", scored=1, received=1):
        """Publish ~/status; `scored` and `received` count up by so many a message."""
        publisher = node.create_publisher(RefinementStatus, "~/status", 10)
        count = SimpleNamespace(value=0)

        def publish():
            count.value += 1
            publisher.publish(
                RefinementStatus(
                    healthy=healthy,
                    problem=problem,
                    frames_scored=scored * count.value,
                    frames_received=received * count.value,
                )
            )

        self.every(node, publish)

    def diagnostics(self, node, level, message):
        publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        status = DiagnosticStatus(level=level, name="objectomaly", message=message)
        self.every(node, lambda: publisher.publish(DiagnosticArray(status=[status])))

    def close(self):
        self._executor.shutdown()
        self._thread.join(10)
        for node in self._nodes:
            if isinstance(node, LifecycleNode):
                node._state_machine.destroy_when_not_in_use()  # rclpy forgets it
            node.destroy_node()
        self.context.try_shutdown()
