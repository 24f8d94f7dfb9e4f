from __future__ import annotations

import pytest

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.playback import Pacer, Wait, parse_remap, parse_wait, select_topics
from objectomaly_ros.bags.reader import Bag

SECOND = 1_000_000_000


class Clock:
    """A steady clock that stands still until it is moved."""

    def __init__(self):
        self.time = 100.0

    def __call__(self):
        return self.time


@pytest.mark.parametrize("rate", [0.5, 1.0, 4.0])
def test_messages_are_due_at_their_distance_divided_by_the_rate(rate):
    clock = Clock()
    pacer = Pacer(rate, clock)
    pacer.start(50 * SECOND)
    assert pacer.remaining(50 * SECOND) == pytest.approx(0)
    assert pacer.remaining(52 * SECOND) == pytest.approx(2 / rate)
    clock.time += 1.0
    assert pacer.remaining(52 * SECOND) == pytest.approx(2 / rate - 1)
    assert pacer.now() == 50 * SECOND + round(rate * SECOND)


def test_a_late_message_does_not_move_the_next_ones():
    clock = Clock()
    pacer = Pacer(1.0, clock)
    pacer.start(0)
    clock.time += 5.0  # publishing the first took so long
    assert pacer.remaining(1 * SECOND) == pytest.approx(-4)
    assert pacer.remaining(6 * SECOND) == pytest.approx(1)


def test_starting_again_begins_at_the_first_message():
    clock = Clock()
    pacer = Pacer(1.0, clock)
    pacer.start(7 * SECOND)
    clock.time += 30.0
    pacer.start(7 * SECOND)
    assert pacer.remaining(8 * SECOND) == pytest.approx(1)
    assert pacer.now() == 7 * SECOND


@pytest.mark.parametrize("rate", [0.0, -2.0, 1e300, float("inf"), float("nan")])
def test_rates_that_make_no_sense(rate):
    with pytest.raises(BagError, match="rate"):
        Pacer(rate)


def test_waits():
    assert parse_wait("2") == Wait(2, None)
    assert parse_wait("/camera/image") == Wait(1, "/camera/image")
    assert parse_wait("3/camera/image") == Wait(3, "/camera/image")


@pytest.mark.parametrize("text", ["", "two", "image", "2/", "-1", "/"])
def test_waits_that_are_none(text):
    with pytest.raises(BagError, match="COUNT"):
        parse_wait(text)


def test_remap_rules():
    assert parse_remap(["/a:=/b", "/c/d:=/e"]) == {"/a": "/b", "/c/d": "/e"}


@pytest.mark.parametrize("rules", [["/a"], [":=/b"], ["/a:="], ["/a=/b"], ["/a:=/b", "/a:=/c"]])
def test_remap_rules_that_are_none(rules):
    with pytest.raises(BagError, match=r"rule|twice"):
        parse_remap(rules)


def test_topics_are_chosen_checked_and_may_not_collide(make_bag):
    with Bag(make_bag(count=1)) as bag:
        assert [t.name for t in select_topics(bag, [], {})] == ["/image", "/words"]
        assert [t.name for t in select_topics(bag, ["/words", "/words"], {})] == ["/words"]
        with pytest.raises(BagError, match="/nothing is not in"):
            select_topics(bag, ["/nothing"], {})
        with pytest.raises(BagError, match="/nothing is not in"):
            select_topics(bag, [], {"/nothing": "/image"})
        with pytest.raises(BagError, match="/image and /words would both be /image"):
            select_topics(bag, [], {"/words": "/image"})
