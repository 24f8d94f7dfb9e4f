"""Records topics of the ROS graph into a bag, for machines without `ros2 bag`."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription
from rclpy.utilities import remove_ros_args

from objectomaly_ros.bags.compact import (
    HEADER,
    IMAGE,
    begins_with_header,
    only_header,
    round_scores,
)
from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.playback import names_below
from objectomaly_ros.bags.recording import BagRecording
from objectomaly_ros.bags.typestore import make_typestore, register_type
from objectomaly_ros.bags.writer import BagWriter
from objectomaly_ros.files.writing import bytes_at
from objectomaly_ros.ros.arguments import record_bag_parser
from objectomaly_ros.ros.bag_types import load_message_type, matching_profile, recorded_qos
from objectomaly_ros.runtime.environment import keep_freed_memory

_LOOK_S, _LATER_S = 0.2, 1.0  # between looks at the graph; the second once nothing is missing
_DEPTH = 50
# After a stop, queued messages are taken until none came for _QUIET_S, at most for _DRAIN_S.
_QUIET_S, _DRAIN_S = 0.3, 3.0


class BagRecorder:
    """Subscribes to topics as they appear and writes the bytes of their messages.

    The log time is the time of reception, or that of /clock if the node uses simulated time.

    Args:
        node: subscribes; the caller spins it.
        path: the bag folder to create.
        topics: topics to record.
        namespace: also record all topics below it ("/" for all but hidden ones).
        storage: mcap or sqlite3.
        compress: see `BagWriter`.
        headers: further topics, of which the std_msgs/Header alone is recorded.
        score_bits: 32FC1 images are rounded to multiples of 2^-score_bits; None to keep them.
        max_queue_bytes: size of the queue for the disk; further messages are dropped.

    Attributes:
        last_received: time of the newest message on the monotonic clock, 0 before the first.

    Raises:
        BagError: there is nothing to record, or the bag exists.
    """

    def __init__(
        self,
        node: Node,
        path: Path | str,
        *,
        topics: Sequence[str] = (),
        namespace: str | None = None,
        storage: str = "mcap",
        compress: bool = False,
        headers: Sequence[str] = (),
        score_bits: int | None = None,
        max_queue_bytes: int = 256 * 2**20,
    ) -> None:
        if not topics and not headers and namespace is None:
            raise BagError("nothing to record: name topics, or a namespace to record all below it")
        self._node = node
        self._topics = [node.resolve_topic_name(topic) for topic in topics]
        self._headers = {node.resolve_topic_name(topic) for topic in headers}
        self._topics += sorted(self._headers.difference(self._topics))
        self._score_bits = score_bits
        self._namespace = namespace
        self._subscriptions: dict[str, tuple[Subscription, QoSProfile]] = {}
        self._refused: set[str] = set()
        self.last_received = 0.0
        self._store = make_typestore()
        self.recording = BagRecording(
            lambda: BagWriter(path, storage=storage, compress=compress), max_queue_bytes
        )
        self._timer = node.create_timer(_LOOK_S, self._look)
        self._look()

    @property
    def missing(self) -> list[str]:
        """Named topics without a publisher so far."""
        return [topic for topic in self._topics if topic not in self._subscriptions]

    def close(self) -> dict[str, int]:
        """Stop, write the queue, close the bag; return the number of messages by topic.

        Raises:
            BagError: the bag is not complete.
        """
        self._timer.cancel()
        for subscription, _ in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self.recording.close()
        return self.recording.counts

    def _look(self) -> None:
        """Subscribe to new topics, and again to those with publishers of a new QoS."""
        all_there = self._namespace is None and not self.missing
        self._timer.timer_period_ns = int(1e9 * (_LATER_S if all_there else _LOOK_S))
        there = dict(self._node.get_topic_names_and_types())
        wanted = [topic for topic in self._topics if topic in there]
        if self._namespace is not None:
            wanted += names_below(there, self._namespace)
        for topic in dict.fromkeys(wanted):
            publishers = self._node.get_publishers_info_by_topic(topic)
            if topic not in self._refused and publishers:
                self._subscribe(topic, there[topic], [info.qos_profile for info in publishers])

    def _subscribe(self, topic: str, types: Sequence[str], offers: Sequence[QoSProfile]) -> None:
        profile = matching_profile(offers, _DEPTH)
        before = self._subscriptions.get(topic)
        if before is not None:
            known = before[1]
            if (known.reliability, known.durability) == (profile.reliability, profile.durability):
                return
            self._node.destroy_subscription(before[0])
        try:
            if len(types) > 1:
                raise BagError(f"it has several message types: {', '.join(types)}")
            msgtype = load_message_type(types[0])
            register_type(self._store, types[0])  # fails for types that cannot be written
            if topic in self._headers and not begins_with_header(self._store, types[0]):
                raise BagError(f"{types[0]} has no header")
        except BagError as error:
            self._refused.add(topic)
            self._node.get_logger().error(f"topic {topic} is not recorded: {error}")
            return
        if before is None:
            recorded = HEADER if topic in self._headers else types[0]
            self.recording.add_topic(topic, recorded, [recorded_qos(offer) for offer in offers])
            self._node.get_logger().info(f"recording {topic} [{types[0]}]")
        subscription = self._node.create_subscription(
            msgtype, topic, self._keep(topic, self._compactor(topic, types[0])), profile, raw=True
        )
        self._subscriptions[topic] = (subscription, profile)

    def _compactor(self, topic: str, msgtype: str) -> Callable[[bytes], bytes | bytearray] | None:
        if topic in self._headers:
            return only_header
        bits = self._score_bits
        if bits is not None and msgtype == IMAGE:
            return lambda data: round_scores(data, bits)
        return None

    def _keep(
        self, topic: str, compact: Callable[[bytes], bytes | bytearray] | None
    ) -> Callable[[bytes, dict[str, int]], None]:
        simulated = self._node.get_parameter("use_sim_time").value
        log = self._node.get_logger()

        def keep(data: bytes, info: dict[str, int]) -> None:
            self.last_received = time.monotonic()
            if not simulated:
                log_time = info["received_timestamp"] or time.time_ns()
            elif not (log_time := self._node.get_clock().now().nanoseconds):
                self.recording.dropped[topic] += 1
                log.warning(
                    f"{topic} is not recorded before /clock starts", throttle_duration_sec=5.0
                )
                return
            kept = data if compact is None else compact(data)
            if not self.recording.put(topic, log_time, kept):
                log.warning(
                    f"messages of {topic} are dropped: the disk does not keep up",
                    throttle_duration_sec=5.0,
                )

        return keep


def main(argv: Sequence[str] | None = None) -> int:
    """Run record_bag until SIGINT or SIGTERM.

    Returns:
        The exit status: 0 the bag is complete, 1 it is not, or there is nothing to record.
    """
    arguments = list(sys.argv if argv is None else ["record_bag", *argv])
    options = record_bag_parser().parse_intermixed_args(remove_ros_args(arguments)[1:])
    path = options.output or Path(time.strftime("rosbag2_%Y_%m_%d-%H_%M_%S"))
    keep_freed_memory()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    try:
        clock = Parameter("use_sim_time", value=options.use_sim_time)
        node = rclpy.create_node(
            "record_bag", parameter_overrides=[clock], start_parameter_services=False
        )
        recorder = BagRecorder(
            node,
            path,
            topics=options.topics,
            namespace=options.namespace,
            storage=options.storage,
            compress=options.compress,
            headers=options.headers,
            score_bits=options.score_bits,
            max_queue_bytes=options.max_queue * 2**20,
        )
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while not stop.is_set() and recorder.recording.failure is None:
            executor.spin_once(timeout_sec=0.2)
        begin = time.monotonic()
        while time.monotonic() < min(
            begin + _DRAIN_S, max(begin, recorder.last_received) + _QUIET_S
        ):
            executor.spin_once(timeout_sec=0.05)
        counts = recorder.close()
    except BagError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        rclpy.shutdown()
    _print_report(path, counts, recorder)
    return 0


def _print_report(path: Path, counts: dict[str, int], recorder: BagRecorder) -> None:
    for topic, count in sorted(counts.items()):
        dropped = recorder.recording.dropped[topic]
        print(f"{count:8d}  {topic}" + (f"  ({dropped} dropped)" if dropped else ""))
    for topic in recorder.missing:
        print(f"       0  {topic}  (nobody published it)")
    print(f"recorded in {path} ({bytes_at(path) / 1e6:.1f} MB)")


if __name__ == "__main__":
    sys.exit(main())
