"""Plays a bag into the ROS graph at its own pace."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from rclpy.duration import Duration
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy
from rosgraph_msgs.msg import Clock

from objectomaly_ros.bags.compact import HEADER_BYTES, with_stamp
from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.playback import (
    Pacer,
    Wait,
    select_topics,
    stamp_lead,
)
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.bags.storage import RawMessage, Topic
from objectomaly_ros.files.reading import printable
from objectomaly_ros.ros.bag_types import load_message_type, offered_profile

CLOCK = "/clock"
DAY_NS = GAP_NS = 24 * 3600 * 1_000_000_000
MAX_CLOCK_HZ, MAX_WAIT_S = 1000.0, 86_400.0
_LONGEST_S = 60.0  # of one wait; at a tiny rate they would be longer than threads can wait
_PAUSED_S = 0.02  # between looks whether a pause has ended
_SETTLE_S = 0.3  # a subscriber knows of its publisher a little later than the other way round


@dataclass(frozen=True)
class PlayOptions:
    """Options of a replay.

    Attributes:
        rate: seconds of recording per second.
        loop: number of replays, 0 for no end.
        clock_hz: /clock messages per second, 0 for none.
        clock_from_stamps: /clock follows the stamps of the messages instead of their log times.
        stamps_from_log: log times replace the stamps of the messages.
        start_offset: seconds of the recording to leave out at its beginning, except latched
            messages, such as static transforms: they are published at once.
        start_paused: wait for the end of a pause before the first message.
        delay: seconds before the first message.
        topics: topics to play; empty for all.
        remap: topic in the bag -> topic in the graph.
        waits: subscribers to wait for before the first message.
        wait_timeout: seconds to wait for subscribers.
    """

    rate: float = 1.0
    loop: int = 1
    clock_hz: float = 0.0
    clock_from_stamps: bool = False
    stamps_from_log: bool = False
    start_offset: float = 0.0
    start_paused: bool = False
    delay: float = 0.0
    topics: tuple[str, ...] = ()
    remap: dict[str, str] = field(default_factory=dict)
    waits: tuple[Wait, ...] = ()
    wait_timeout: float = 60.0


@dataclass
class PlayReport:
    """Report of a replay.

    Attributes:
        counts: messages by topic, as named in the graph.
        loops: complete replays.
        latest: largest delay of a message in seconds.
        stopped: whether the replay was stopped.
        damage: description of the bag's damage, None without any.
    """

    counts: dict[str, int]
    loops: int = 0
    latest: float = 0.0
    stopped: bool = False
    damage: str | None = None


class BagPlayer:
    """Publishes the recorded bytes of a bag.

    Construction creates the publishers; `play` blocks until the end.

    Args:
        node: owns the publishers; it need not spin.
        bag: an open bag.
        options: of the replay.
        stop: ends the replay when set, from a thread or a signal handler.

    Raises:
        BagError: a topic is not in the bag, no message type of the bag is installed, or an option
            is out of its range.
    """

    def __init__(
        self,
        node: Node,
        bag: Bag,
        options: PlayOptions | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.options = options or PlayOptions()
        self.stop = stop or threading.Event()
        self._node, self._bag = node, bag
        for what, value, most in (
            ("clock (Hz)", self.options.clock_hz, MAX_CLOCK_HZ),
            ("delay (s)", self.options.delay, MAX_WAIT_S),
            ("wait timeout (s)", self.options.wait_timeout, MAX_WAIT_S),
        ):
            if not 0 <= value <= most:
                raise BagError(f"a {what} of {value} makes no sense; give a number up to {most:g}")
        if not 0 <= self.options.start_offset <= bag.duration:
            raise BagError(
                f"the replay cannot start at {self.options.start_offset:g} s: {bag.path} has "
                f"{bag.duration:.1f} s"
            )
        self._begin = bag.start + round(self.options.start_offset * 1e9)
        self._pacer = Pacer(self.options.rate)
        self._pacer.pause(self.options.start_paused)
        self._publishers: dict[str, Publisher] = {}
        self._latched: set[str] = set()
        self._types: dict[str, str] = {}
        for topic in select_topics(bag, self.options.topics, self.options.remap):
            self._publish_topic(topic)
        if not self._publishers:
            raise BagError(f"nothing to play in {bag.path}: no topic of it can be played here")
        self._restamped = {
            name
            for name in self._publishers
            if self.options.stamps_from_log and bag.is_stamped(bag.topic(name).msgtype)
        }
        self._clock: Publisher | None = None
        self._next_tick = 0.0
        self._clock_lead = 0  # ns that /clock is ahead of the log times
        if self.options.clock_hz > 0:
            self._clock = node.create_publisher(Clock, CLOCK, 10)
            self._choose_clock()

    @property
    def paused(self) -> bool:
        """Whether the replay pauses."""
        return self._pacer.paused

    def pause(self, on: bool) -> None:
        """Pause, or go on. Safe from any thread."""
        self._pacer.pause(on)
        self._node.get_logger().info("paused" if on else "going on")

    def play(self) -> PlayReport:
        """Play to the end, or until `stop` is set.

        Raises:
            BagError: there are too few subscribers after `wait_timeout`.
        """
        report = PlayReport({publisher.topic_name: 0 for publisher in self._publishers.values()})
        self._wait_for_subscribers()
        self.stop.wait(self.options.delay)
        self._node.get_logger().info(f"playing {self._bag.path}")
        if self._clock is not None and self._node.count_publishers(CLOCK) > 1:
            self._node.get_logger().warning(
                "another node publishes /clock, too: time will jump back and forth; end it, or "
                "play without --clock"
            )
        while not self.stop.is_set() and self._play_once(report):
            report.loops += not self.stop.is_set()
            if report.loops == self.options.loop:
                break
        report.stopped = self.stop.is_set()
        report.damage = self._bag.damage
        if not report.stopped:
            for publisher in self._publishers.values():
                publisher.wait_for_all_acked(Duration(seconds=2))
        return report

    def _play_once(self, report: PlayReport) -> bool:
        """Publish every message once; False if there is none."""
        started = False
        newest = 0
        for message in self._bag.messages(self._publishers):
            early = message.log_time < self._begin
            if (early and message.topic not in self._latched) or not self._fits(message):
                continue
            if not early and not started:
                self._pacer.start(message.log_time)
                self._next_tick = 0.0
                newest = message.log_time
                started = True
            if not early:
                if message.log_time - newest > GAP_NS:
                    self._skip_gap(newest, message.log_time)
                newest = message.log_time
                if not self._wait_until(message.log_time):
                    break
            publisher = self._publishers[message.topic]
            publisher.publish(self._data(message))
            report.counts[publisher.topic_name] += 1
            if not early:
                report.latest = max(report.latest, -self._pacer.remaining(message.log_time))
        return started

    def _fits(self, message: RawMessage) -> bool:
        """Return whether a message has the type of its publisher; a topic may have had several."""
        if message.msgtype == self._types[message.topic]:
            return True
        self._node.get_logger().warning(
            f"messages of {message.topic} that are {message.msgtype}, not "
            f"{self._types[message.topic]}, are left out",
            throttle_duration_sec=5.0,
        )
        return False

    def _skip_gap(self, before: int, after: int) -> None:
        self._node.get_logger().warning(
            f"{(after - before) / DAY_NS:.1f} days without a message are skipped (log times "
            f"{before / 1e9:.1f} to {after / 1e9:.1f} s)"
        )
        self._pacer.start(after)
        self._next_tick = 0.0

    def _data(self, message: RawMessage) -> bytes:
        if message.topic in self._restamped and len(message.data) >= HEADER_BYTES:
            return with_stamp(message.data, message.log_time)
        return message.data

    def _wait_until(self, log_time: int) -> bool:
        """Sleep until the message is due, publishing /clock meanwhile; False if stopped."""
        while not self.stop.is_set():
            left = self._pacer.remaining(log_time)
            if self._clock is not None:
                left = min(left, self._tick())
            if self._pacer.paused:
                left = min(left, _PAUSED_S)
            elif self._pacer.remaining(log_time) <= 0:
                return True
            self.stop.wait(min(max(left, 0.0), _LONGEST_S))
        return False

    def _tick(self) -> float:
        """Publish /clock if it is due; return the seconds until the next time."""
        now = time.monotonic()
        if now >= self._next_tick:
            time_ns = max(0, self._pacer.now() + self._clock_lead)
            seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
            shown = Clock()
            shown.clock.sec, shown.clock.nanosec = seconds, nanoseconds
            assert self._clock is not None
            self._clock.publish(shown)
            self._next_tick = now + 1.0 / self.options.clock_hz
        return self._next_tick - now

    def _choose_clock(self) -> None:
        log = self._node.get_logger()
        lead = stamp_lead(self._bag, self._publishers)
        if self.options.clock_from_stamps:
            if lead is None:
                log.warning("no message has a stamp: /clock follows the log times")
            self._clock_lead = lead or 0
        elif lead is not None and abs(lead) > DAY_NS:
            side = "behind" if lead < 0 else "ahead of"
            log.warning(
                f"the stamps are {abs(lead) / DAY_NS:.1f} days {side} the log times, and "
                "/clock follows the log times; --clock-from-stamps makes it follow the stamps"
            )

    def _publish_topic(self, topic: Topic) -> None:
        name = self.options.remap.get(topic.name, topic.name)
        if name == CLOCK and self.options.clock_hz > 0:
            self._node.get_logger().info(f"topic {topic.name} is left out: --clock replaces it")
            return
        try:
            msgtype = load_message_type(topic.msgtype)
        except BagError as error:
            self._node.get_logger().warning(f"topic {topic.name} is left out: {error}")
            return
        recorded = self._bag.fields(topic)
        installed = list(msgtype.get_fields_and_field_types())
        if recorded and recorded != installed:
            self._node.get_logger().warning(
                f"topic {topic.name} is left out: {topic.msgtype} has the fields "
                f"{', '.join(recorded)} in the bag, and {', '.join(installed)} on this machine; "
                "source a workspace with the version that was recorded"
            )
            return
        profile = offered_profile(topic.name, topic.qos, topic.count)
        if profile.durability == DurabilityPolicy.TRANSIENT_LOCAL:
            self._latched.add(topic.name)
        try:
            publisher = self._node.create_publisher(msgtype, name, profile)
        except InvalidTopicNameException as error:  # ROS 1 and other tools allow more names
            text = " ".join(str(error).split())
            self._node.get_logger().warning(printable(f"topic {topic.name} is left out: {text}"))
            return
        self._types[topic.name] = topic.msgtype
        self._publishers[topic.name] = publisher

    def _wait_for_subscribers(self) -> None:
        deadline = time.monotonic() + self.options.wait_timeout
        while not self.stop.is_set() and (lacking := self._lacking()):
            if time.monotonic() > deadline:
                raise BagError(
                    f"no subscriber came within {self.options.wait_timeout:g} s to "
                    f"{', '.join(lacking)}; is the node up, and is its QoS compatible "
                    "(ros2 topic info --verbose TOPIC)?"
                )
            self.stop.wait(0.05)
        if self.options.waits:
            self.stop.wait(_SETTLE_S)

    def _lacking(self) -> list[str]:
        """Return the topics that have fewer subscribers than `waits` asks for."""
        lacking = []
        for wait in self.options.waits:
            chosen = [
                publisher
                for source, publisher in self._publishers.items()
                if wait.topic in (None, source, publisher.topic_name)
            ]
            if not chosen:
                played = ", ".join(sorted(self._publishers)) or "nothing"
                raise BagError(
                    f"cannot wait for subscribers of {wait.topic}: it is not played, but {played}"
                )
            lacking += [p.topic_name for p in chosen if p.get_subscription_count() < wait.count]
        return lacking
