"""Publishers and subscriptions whose types or qualities of service do not match."""

from __future__ import annotations

from collections.abc import Iterable

from objectomaly_ros.doctor.findings import Finding
from objectomaly_ros.doctor.graph import Endpoint, Graph, Topic

# What a publisher may offer, the weakest first. A subscription takes what it asks for, or better.
_ORDER = {
    "reliability": ("best_effort", "reliable"),
    "durability": ("volatile", "transient_local"),
    "liveliness": ("automatic", "manual_by_topic"),
}
_LIMITS = {"deadline": "deadline_s", "liveliness_lease_duration": "lease_s"}
_ROS_OWN = ("/rosout", "/parameter_events")  # never at fault


def mismatches(publisher: Endpoint, subscription: Endpoint) -> list[tuple[str, str, str]]:
    """Return the policies that keep a publisher from a subscription.

    Returns:
        policy, what is offered, and what is asked for.
    """
    found = []
    for policy, order in _ORDER.items():
        offered, asked = getattr(publisher, policy), getattr(subscription, policy)
        known = offered in order and asked in order
        if known and order.index(offered) < order.index(asked):
            found.append((policy, offered, asked))
    for policy, name in _LIMITS.items():
        offered, asked = getattr(publisher, name), getattr(subscription, name)
        if offered > asked:
            found.append((policy, f"{offered:g} s", f"{asked:g} s"))
    return found


def qos_findings(graph: Graph) -> list[Finding]:
    """Report on every pair of ends that cannot talk to each other."""
    own = {name for name in (graph.node.name if graph.node else None, *graph.others) if name}
    found = [
        finding
        for _, topic in sorted(graph.topics.items())
        if topic.name not in _ROS_OWN
        for finding in _of_topic(topic, own)
    ]
    pairs = sum(len(t.publishers) * len(t.subscriptions) for t in graph.topics.values())
    told = (
        f"all {pairs} pairs of ends match"
        if pairs
        else "no topic has a publisher and a subscription"
    )
    return found or [Finding("ok", "QoS", told)]


def _of_topic(topic: Topic, own: set[str]) -> Iterable[Finding]:
    told = set()
    for publisher in topic.publishers:
        for subscription in topic.subscriptions:
            if publisher.kind != subscription.kind:
                finding = _types(topic.name, publisher, subscription)
            else:
                wrong = mismatches(publisher, subscription)
                if not wrong:
                    continue
                finding = _policies(topic.name, publisher, subscription, wrong, own)
            if finding not in told:
                told.add(finding)
                yield finding


def _types(name: str, publisher: Endpoint, subscription: Endpoint) -> Finding:
    return Finding(
        "error",
        name,
        f"{publisher.node} publishes {publisher.kind}, {subscription.node} subscribes to "
        f"{subscription.kind}: nothing is received",
        "give one of them another topic (a remapping)",
    )


def _policies(
    name: str,
    publisher: Endpoint,
    subscription: Endpoint,
    wrong: list[tuple[str, str, str]],
    own: set[str],
) -> Finding:
    differing = " and ".join(
        f"{policy} {offered}, which {asked} does not take" for policy, offered, asked in wrong
    )
    (policy, offered, asked), *_ = wrong
    if policy in _LIMITS or policy == "liveliness":
        remedy = (
            f"leave the {policy} of {subscription.node} unset, or set that of {publisher.node} "
            f"to {asked}"
        )
    elif subscription.node in own or publisher.node in own:
        side, value = "subscription", offered
        if subscription.node not in own:
            side, value = "publisher", asked
        remedy = f"set the node's parameter qos_overrides.{name}.{side}.{policy} to {value}"
    else:
        remedy = (
            f"set the {policy} of {subscription.node} to {offered} (in RViz: the topic's "
            f"{policy.capitalize()} Policy), or that of {publisher.node} to {asked}"
        )
    return Finding(
        "error",
        name,
        f"{publisher.node} offers {subscription.node} {differing}: nothing is received",
        remedy,
    )
