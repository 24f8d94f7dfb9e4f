"""The bond with Nav2's lifecycle manager: heartbeats that tell that the active node lives.

bondpy is not used: it leaves destroyed subscriptions to the executor, which then fails for good. It
also ends the bond if the manager is late, and then the manager shuts down all its nodes.
"""

from __future__ import annotations

import threading
import uuid

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from objectomaly_ros.ros.qos import LAST_WORDS

try:
    from bond.msg import Status
except ImportError:  # comes with Nav2; not on PyPI
    Status = None

TOPIC = "bond"  # in the node's namespace; the bond's id is the node's name
PERIOD_S = 0.25  # the manager waits bond_timeout / 2 for the first heartbeat, 2 s by default


class Bond:
    """Heartbeats while the node is active, if the messages of `bond` are installed; else nothing.

    The executor sends them, so a node that hangs falls silent. Any thread may call `end`: publisher
    and timer live as long as the node.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lock = threading.Lock()  # no heartbeat comes after the end
        self._instance = ""
        if Status is not None:
            self._publisher = node.create_publisher(Status, TOPIC, 5)
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            self._timer = node.create_timer(PERIOD_S, self._beat, clock=steady, autostart=False)

    def form(self) -> None:
        """Start the heartbeats."""
        if Status is not None:
            self._instance = str(uuid.uuid4())
            self._beat()
            self._timer.reset()

    def end(self) -> None:
        """Tell the lifecycle manager that the node ends its work."""
        with self._lock:
            if not self._instance:
                return
            self._timer.cancel()
            self._publish(active=False)
            self._instance = ""
        self._publisher.wait_for_all_acked(LAST_WORDS)

    def _beat(self) -> None:
        with self._lock:
            if self._instance:
                self._publish(active=True)

    def _publish(self, *, active: bool) -> None:
        message = Status(id=self._node.get_name(), instance_id=self._instance, active=active)
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.heartbeat_period = PERIOD_S
        self._publisher.publish(message)
