"""Message classes by name, and QoS between bags and the ROS graph."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import Qos, QosDurability, QosReliability

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.writer import offered_qos

_MIN_DEPTH = 10


def load_message_type(msgtype: str) -> Any:
    """Import the class of "package/msg/Name".

    Raises:
        BagError: the package is not built or sourced here.
    """
    package, _, name = msgtype.rpartition("/")
    try:
        return getattr(import_module(package.replace("/", ".")), name)
    except (ImportError, AttributeError, ValueError):
        raise BagError(
            f"message type {msgtype} is not there; source the workspace that holds the package "
            f"{msgtype.partition('/')[0]!r}"
        ) from None


def offered_profile(recorded: Sequence[Qos]) -> QoSProfile:
    """Return what a player offers: as the recorded publishers did, else reliable.

    Depth is never below 10, since recorders note a depth of 0 where they could not see it.
    """
    best_effort = any(q.reliability == QosReliability.BEST_EFFORT for q in recorded)
    lasting = bool(recorded) and all(
        q.durability == QosDurability.TRANSIENT_LOCAL for q in recorded
    )
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=max([_MIN_DEPTH, *(min(q.depth, 1000) for q in recorded)]),
        reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if lasting else DurabilityPolicy.VOLATILE,
    )


def matching_profile(offers: Sequence[QoSProfile], depth: int) -> QoSProfile:
    """Return the strictest QoS to subscribe with that still receives from every publisher.

    Args:
        offers: QoS of the publishers there are; reliable and volatile is taken where there is none.
        depth: messages to keep.
    """
    best_effort = any(q.reliability == ReliabilityPolicy.BEST_EFFORT for q in offers)
    lasting = bool(offers) and all(q.durability == DurabilityPolicy.TRANSIENT_LOCAL for q in offers)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if lasting else DurabilityPolicy.VOLATILE,
    )


def recorded_qos(offer: QoSProfile) -> Qos:
    """Return a publisher's QoS as a bag keeps it."""
    return offered_qos(
        reliable=offer.reliability == ReliabilityPolicy.RELIABLE,
        transient_local=offer.durability == DurabilityPolicy.TRANSIENT_LOCAL,
        depth=offer.depth or _MIN_DEPTH,
    )
