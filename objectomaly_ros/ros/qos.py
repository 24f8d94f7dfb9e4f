"""Quality of service of all topics, and what is said when two ends do not match."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.qos import (
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
    qos_policy_name_from_kind,
    qos_profile_sensor_data,
)
from rclpy.qos_overriding_options import QoSOverridingOptions

Log = Callable[[str, str], None]
"""Takes a key for what may repeat, and the text."""


def input_qos() -> QoSProfile:
    """Sensor data: best effort matches every publisher, and an old image is of no use.

    Deeper than usual: the node's own queue is what bounds latency and counts what is dropped, and
    nothing is to be lost before it when the machine is busy for a moment.
    """
    profile: QoSProfile = qos_profile_sensor_data
    return QoSProfile(
        history=profile.history,
        depth=10,
        reliability=profile.reliability,
        durability=profile.durability,
    )


def output_qos() -> QoSProfile:
    """Reliable, so that every subscriber matches, and shallow, so that a slow one lags little."""
    return QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)


def overrides() -> QoSOverridingOptions:
    """Let the user override QoS by parameters `qos_overrides./TOPIC.publisher.depth` and so on."""
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
    """Say it when a publisher does not match, and count the messages that the middleware lost."""

    def incompatible(event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        warn(
            f"qos {topic}",
            f"a publisher on {topic} offers incompatible QoS ({policy}): nothing is received from "
            f"it. Set the parameter qos_overrides.{topic}.subscription."
            f"{policy.lower()} to what it offers; `ros2 topic info -v {topic}` shows both ends",
        )

    if lost is None:
        return SubscriptionEventCallbacks(incompatible_qos=incompatible)
    return SubscriptionEventCallbacks(
        incompatible_qos=incompatible,
        message_lost=lambda event: lost(event.total_count_change),
    )


def publisher_events(topic: str, warn: Log) -> PublisherEventCallbacks:
    """Say it when a subscriber does not match."""

    def incompatible(event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        warn(
            f"qos {topic}",
            f"a subscriber of {topic} asks for incompatible QoS ({policy}): it receives nothing. "
            f"Set its {policy.lower()} to what is offered (reliable, volatile), or the parameter "
            f"qos_overrides.{topic}.publisher.{policy.lower()} to what it asks for",
        )

    return PublisherEventCallbacks(incompatible_qos=incompatible)
