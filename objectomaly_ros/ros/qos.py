"""Quality of service of all topics, and warnings about ends that do not match."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.duration import Duration
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.qos import QoSPolicyKind, QoSProfile, ReliabilityPolicy, qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions

LAST_WORDS = Duration(seconds=0.2)
"""Longest wait for a last message to arrive; without it, it goes astray with its publisher."""

Log = Callable[[str, str], None]
"""Takes a throttling key and the text."""


def input_qos() -> QoSProfile:
    """Sensor data QoS: best effort matches every publisher.

    It is deeper than usual, so that images are dropped and counted in the node's own queue only.
    """
    return QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)


def output_qos(depth: int = 5) -> QoSProfile:
    """Reliable to match every subscriber, shallow so that a slow one lags little."""
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE)


def overrides() -> QoSOverridingOptions:
    """Allow parameters such as `qos_overrides./TOPIC.publisher.depth`."""
    return QoSOverridingOptions(
        policy_kinds=(
            QoSPolicyKind.HISTORY,
            QoSPolicyKind.DEPTH,
            QoSPolicyKind.RELIABILITY,
            QoSPolicyKind.DURABILITY,
        )
    )


def subscription_events(
    topic: str, warn: Log, lost: Callable[[int], None] | None
) -> SubscriptionEventCallbacks:
    """Warn of publishers that do not match, and count messages that the middleware lost."""
    return SubscriptionEventCallbacks(
        incompatible_qos=_warning(
            topic,
            warn,
            "a publisher on {topic} offers incompatible QoS ({policy}): nothing is received from "
            "it. Set the parameter qos_overrides.{topic}.subscription.{name} to its value; "
            "`ros2 topic info -v {topic}` shows both ends",
        ),
        message_lost=(lambda event: lost(event.total_count_change)) if lost else None,
    )


def publisher_events(topic: str, warn: Log) -> PublisherEventCallbacks:
    """Warn of subscribers that do not match."""
    text = (
        "a subscriber of {topic} asks for incompatible QoS ({policy}): it receives nothing. Set "
        "its {name} to that of the node (reliable, volatile), or the parameter "
        "qos_overrides.{topic}.publisher.{name} to its value"
    )
    return PublisherEventCallbacks(incompatible_qos=_warning(topic, warn, text))


def _warning(topic: str, warn: Log, text: str) -> Callable[[Any], None]:
    def incompatible(event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        warn(f"qos {topic}", text.format(topic=topic, policy=policy, name=policy.lower()))

    return incompatible
