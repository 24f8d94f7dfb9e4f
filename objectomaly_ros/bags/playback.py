"""Pace, topics and names of a replay, without ROS and threads."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from objectomaly_ros.bags.compact import header_stamp_ns
from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.reader import IMAGE_TYPES, Bag
from objectomaly_ros.bags.storage import Topic

_LOOKED_AT = 100  # messages at the beginning of which the stamps are read


class Pacer:
    """Maps the log times of a recording to a steady clock, faster or slower by `rate`.

    A late message does not delay the later ones: the replay catches up.
    """

    def __init__(self, rate: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare; `start` begins.

        Args:
            rate: seconds of recording a second.
            clock: steady time in seconds.

        Raises:
            BagError: the rate is not positive, or above a million.
        """
        if not 0 < rate <= 1e6:
            raise BagError(f"a rate of {rate} makes no sense; give a number above 0, up to 1e6")
        self.rate = rate
        self._clock = clock
        self._first = 0
        self._begin = 0.0
        self._paused_at: float | None = None

    def start(self, log_time: int) -> None:
        """Make a log time (ns) due now, or when a pause ends."""
        self._first = log_time
        self._begin = self._time()

    @property
    def paused(self) -> bool:
        """Whether time stands still."""
        return self._paused_at is not None

    def pause(self, on: bool) -> None:
        """Stop the time, or let it go on from the same log time."""
        if on and self._paused_at is None:
            self._paused_at = self._clock()
        elif not on and self._paused_at is not None:
            self._begin += self._clock() - self._paused_at
            self._paused_at = None

    def remaining(self, log_time: int) -> float:
        """Return the seconds until a log time (ns) is due, negative when it is late."""
        return self._begin + (log_time - self._first) / 1e9 / self.rate - self._time()

    def now(self) -> int:
        """Return the log time (ns) that is due now, for /clock."""
        return self._first + round((self._time() - self._begin) * self.rate * 1e9)

    def _time(self) -> float:
        paused_at = self._paused_at
        return self._clock() if paused_at is None else paused_at


@dataclass(frozen=True)
class Wait:
    """The subscribers to wait for, of one topic, or of each if `topic` is None."""

    count: int
    topic: str | None


def parse_wait(text: str) -> Wait:
    """Read "2", "/camera/image" or "2/camera/image".

    Raises:
        BagError: it is none of these.
    """
    match = re.fullmatch(r"(\d*)(/.*[^/])?", text)
    if not match or not text:
        raise BagError(f"{text!r} is no [COUNT][/TOPIC], such as 1/camera/image")
    return Wait(int(match[1] or 1), match[2])


def parse_remap(rules: Iterable[str]) -> dict[str, str]:
    """Read rules "old:=new" into a dictionary.

    Raises:
        BagError: a rule is not of that form, or a topic is renamed twice.
    """
    found: dict[str, str] = {}
    for rule in rules:
        old, separator, new = rule.partition(":=")
        if not separator or not old.strip("/") or not new.strip("/"):
            raise BagError(f"{rule!r} is no rule OLD:=NEW, such as /camera/image:=/image")
        if old in found:
            raise BagError(f"topic {old} is renamed twice: to {found[old]} and to {new}")
        found[old] = new
    return found


def select_topics(bag: Bag, wanted: Sequence[str], remap: dict[str, str]) -> list[Topic]:
    """Return the topics to play: the wanted ones, or all.

    Raises:
        BagError: a wanted or renamed topic is not in the bag, or two end up with one name.
    """
    for name in (*wanted, *remap):
        bag.topic(name)
    chosen = [bag.topic(name) for name in dict.fromkeys(wanted or bag.topics)]
    targets: dict[str, str] = {}
    for topic in chosen:
        target = remap.get(topic.name, topic.name)
        if target in targets:
            raise BagError(f"topics {targets[target]} and {topic.name} would both be {target}")
        targets[target] = topic.name
    return chosen


def stamp_lead(bag: Bag, topics: Iterable[str]) -> int | None:
    """Return how far (ns) stamps are ahead of log times; None if no message has a stamp.

    The first stamped message tells, of an image topic if there is one: maps and static transforms
    may have been stamped long before.
    """
    found = [bag.topic(name) for name in topics]
    stamped = [topic for topic in found if topic.count and bag.is_stamped(topic.msgtype)]
    images = [topic for topic in stamped if topic.msgtype in IMAGE_TYPES]
    for message in islice(bag.messages(t.name for t in images or stamped), _LOOKED_AT):
        with suppress(struct.error, IndexError):  # too short
            if stamp := header_stamp_ns(message.data):
                return stamp - message.log_time
    return None


def stamps_differ(bag: Bag, topic: str) -> bool:
    """Return whether stamps tell most of a topic's messages apart: they may be 0, or stand still.

    The first messages of the topic decide.
    """
    stamps = []
    for message in islice(bag.messages([topic]), _LOOKED_AT):
        with suppress(struct.error, IndexError):  # too short
            stamps.append(header_stamp_ns(message.data))
    return len(stamps) < 2 or len(set(stamps)) > len(stamps) / 2


def names_below(topics: Iterable[str], namespace: str) -> list[str]:
    """Return the topics below a namespace, sorted, without hidden ones (names with "_" first)."""
    prefix = f"/{namespace.strip('/')}/".replace("//", "/")
    return sorted(t for t in topics if t.startswith(prefix) and "/_" not in t)
