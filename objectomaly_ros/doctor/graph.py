"""What was seen of a running ROS graph, as plain records that `ros/graph_observer.py` fills."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from objectomaly_ros.arrays.image_messages import DEPTH
from objectomaly_ros.geometry.transform_tree import TransformSeen

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
MANY = 5
"""Names in a finding."""

MOST_IMAGES = 8
"""Image topics that are listened to if the node is not there."""


@dataclass(frozen=True)
class Endpoint:
    """A publisher or a subscription.

    Attributes:
        node: full name of its node.
        kind: message type, "package/msg/Name".
        reliability, durability, liveliness: as ROS names them, in lower case.
        deadline_s, lease_s: seconds; infinite if not set.
    """

    node: str
    kind: str
    reliability: str = "reliable"
    durability: str = "volatile"
    liveliness: str = "automatic"
    deadline_s: float = math.inf
    lease_s: float = math.inf


@dataclass(frozen=True)
class Topic:
    """A topic with its ends."""

    name: str
    publishers: tuple[Endpoint, ...] = ()
    subscriptions: tuple[Endpoint, ...] = ()

    def has(self, *kinds: str) -> bool:
        """Tell whether somebody publishes one of these types here."""
        return any(end.kind in kinds for end in self.publishers)


@dataclass(frozen=True)
class Seen:
    """The header of a message, and when it was received.

    Attributes:
        stamp_s: of the header.
        frame: its frame_id.
        wall_s: by the clock of this machine.
        clock_s: by /clock; None before its first message.
    """

    stamp_s: float
    frame: str
    wall_s: float
    clock_s: float | None = None


@dataclass
class Images:
    """Images of a topic.

    Attributes:
        messages: in the order of their arrival.
        encodings: each with its first refusal; None if it is supported.
        size: width and height of the last; None of compressed ones that were refused.
        bytes: of the last.
    """

    messages: list[Seen] = field(default_factory=list)
    encodings: dict[str, str | None] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    bytes: int = 0

    @property
    def rate_hz(self) -> float:
        """Images a second, by their arrival; 0 if there are less than 3."""
        if len(self.messages) < 3:
            return 0.0
        span = self.messages[-1].wall_s - self.messages[0].wall_s
        return (len(self.messages) - 1) / span if span > 0 else 0.0


@dataclass
class Calibration:
    """The CameraInfo of a topic.

    Attributes:
        messages: in the order of their arrival.
        size: width and height of the last.
        problems: what the node would complain of, with the images that it belongs to.
    """

    messages: list[Seen] = field(default_factory=list)
    size: tuple[int, int] = (0, 0)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Status:
    """What ~/status told of a frame.

    Attributes:
        seen: its header, which is that of the image.
        received, scored: images since activation.
    """

    seen: Seen
    healthy: bool
    problem: str
    received: int
    scored: int


@dataclass
class NodeSeen:
    """The node of this package.

    Attributes:
        name: full name.
        state: of its lifecycle; None if it did not answer.
        parameters: by name; empty if it did not answer.
        images: topics of images that it subscribes to.
        infos: topics of CameraInfo that it subscribes to.
        diagnostics: level (0 to 3) and message of each of its last statuses, by name.
        statuses: by name of the camera, which is empty if there is one alone.
    """

    name: str
    state: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    images: list[str] = field(default_factory=list)
    infos: list[str] = field(default_factory=list)
    diagnostics: dict[str, tuple[int, str]] = field(default_factory=dict)
    statuses: dict[str, list[Status]] = field(default_factory=dict)

    @property
    def uses_sim_time(self) -> bool:
        """Its clock is /clock."""
        return bool(self.parameters.get("use_sim_time"))


@dataclass
class Graph:
    """A ROS graph as it was seen for some seconds.

    Attributes:
        wanted: name of the node that was looked for.
        node: the node of this package; None if it is not there.
        others: further nodes of this package.
        nodes: full names of all nodes, as often as they are there.
        topics: by name, without those of the observer itself.
        images, infos: by topic.
        clock: times of /clock with the time of this machine.
        transforms: newest by child and parent.
        tf_readable: the type of TF's messages is installed.
        unreadable: topics of which a message could not be read.
        seconds: how long it was seen.
    """

    wanted: str
    seconds: float
    node: NodeSeen | None = None
    others: list[str] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    topics: dict[str, Topic] = field(default_factory=dict)
    images: dict[str, Images] = field(default_factory=dict)
    infos: dict[str, Calibration] = field(default_factory=dict)
    clock: list[tuple[float, float]] = field(default_factory=list)
    transforms: dict[tuple[str, str], TransformSeen] = field(default_factory=dict)
    tf_readable: bool = True
    unreadable: set[str] = field(default_factory=set)

    def topic(self, name: str) -> Topic:
        """Return a topic; one without ends if nobody has it."""
        return self.topics.get(name, Topic(name))

    def image_topics(self) -> list[str]:
        """Return topics on which others than this package's nodes publish images."""
        own = tuple(f"{name}/" for name in (self.wanted, *self.others))
        if self.node is not None:
            own += (f"{self.node.name}/",)
        return [
            name
            for name, topic in sorted(self.topics.items())
            if topic.has(IMAGE, COMPRESSED) and not name.startswith(own)
        ]

    def heard_images(self) -> list[str]:
        """Return the image topics to listen to: the node's, else the first of the others."""
        own = self.node.images if self.node is not None else []
        return own or self.image_topics()[:MOST_IMAGES]

    def keep_cameras(self) -> None:
        """Leave out all images but those of the node's cameras.

        Others are its scores and depth, and what was listened to before the node was found.
        """
        node = self.node
        if node is not None and node.images:
            node.images = [name for name in node.images if not self._is_map(name)] or node.images
            self.images = {name: self.images[name] for name in node.images if name in self.images}

    def _is_map(self, name: str) -> bool:
        encodings = self.images.get(name, Images()).encodings.keys()
        last = name.removesuffix("/compressed").rpartition("/")[2]
        return last in ("score_in", "depth") or bool(encodings and encodings <= {*DEPTH})


def nearest(name: str, others: Iterable[str]) -> str:
    """Return the names most like `name`, the nearest first, in words; "none" without any."""
    names = list(others)
    order = sorted(names, key=lambda one: -difflib.SequenceMatcher(None, name, one).ratio())
    more = f" and {len(order) - MANY} more" if len(order) > MANY else ""
    return ", ".join(order[:MANY]) + more if order else "none"


def in_words(seconds: float) -> str:
    """Return a length of time in a unit that fits."""
    size = abs(seconds)
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if size >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.2f} s"


def names_of(ends: Sequence[Endpoint]) -> str:
    """Return the nodes of some ends, in words."""
    return ", ".join(dict.fromkeys(end.node for end in ends))
