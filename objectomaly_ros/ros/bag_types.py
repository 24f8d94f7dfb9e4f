"""Message classes by name, and QoS between bags and the ROS graph."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import Qos, QosDurability, QosReliability

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.writer import offered_qos

STATIC_TRANSFORMS = "/tf_static"
_MIN_DEPTH, _MAX_DEPTH, _MAX_LATCHED = 10, 100_000, 1000


def load_message_type(msgtype: str) -> Any:
    """Import the class of "package/msg/Name".

    Raises:
        BagError: the package is not built or not sourced.
    """
    package, _, name = msgtype.rpartition("/")
    try:
        return getattr(import_module(package.replace("/", ".")), name)
    except (ImportError, AttributeError, ValueError):
        raise BagError(
            f"message type {msgtype} is not installed; source the workspace of package "
            f"{msgtype.partition('/')[0]!r}"
        ) from None


def offered_profile(topic: str, recorded: Sequence[Qos], count: int) -> QoSProfile:
    """Return the QoS of a player: that of the recorded publishers, reliable without any.

    The player stands in for all publishers of a topic, so their depths add up. Recorders write a
    depth of 0 if they do not know it, so the sum is at least 10. Of static transforms, whose
    publishers may come one after the other, a late subscriber gets all.

    Args:
        topic: its name in the bag.
        recorded: QoS of its publishers.
        count: its messages in the bag.
    """
    if topic.endswith(STATIC_TRANSFORMS):
        return _profile(False, [True], max(_MIN_DEPTH, min(count, _MAX_DEPTH)))
    depth = sum(min(max(q.depth, 1), 1000) for q in recorded)
    return _profile(
        any(q.reliability == QosReliability.BEST_EFFORT for q in recorded),
        [q.durability == QosDurability.TRANSIENT_LOCAL for q in recorded],
        max(_MIN_DEPTH, min(depth, 1000)),
    )


def matching_profile(offers: Sequence[QoSProfile], depth: int) -> QoSProfile:
    """Return the strictest QoS to subscribe with that still receives from every publisher.

    Args:
        offers: QoS of the publishers; without any the result is reliable and volatile.
        depth: messages to keep; more of latched ones, which come all at once.
    """
    latched = [q.durability == DurabilityPolicy.TRANSIENT_LOCAL for q in offers]
    return _profile(
        any(q.reliability == ReliabilityPolicy.BEST_EFFORT for q in offers),
        latched,
        max(depth, _MAX_LATCHED) if latched and all(latched) else depth,
    )


def _profile(best_effort: bool, transient_local: Sequence[bool], depth: int) -> QoSProfile:
    lasting = bool(transient_local) and all(transient_local)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if lasting else DurabilityPolicy.VOLATILE,
    )


def recorded_qos(offer: QoSProfile) -> Qos:
    """Return the QoS of a publisher in the form of a bag."""
    return offered_qos(
        reliable=offer.reliability == ReliabilityPolicy.RELIABLE,
        transient_local=offer.durability == DurabilityPolicy.TRANSIENT_LOCAL,
        depth=offer.depth or _MIN_DEPTH,
    )
