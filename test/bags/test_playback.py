from __future__ import annotations

import numpy as np
import pytest

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.messages import header, image_message
from objectomaly_ros.bags.playback import (
    Pacer,
    Wait,
    parse_remap,
    parse_wait,
    select_topics,
    stamp_lead,
    stamps_differ,
)
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.bags.writer import BagWriter

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


def test_a_pause_stops_the_time_and_delays_what_comes_after():
    clock = Clock()
    pacer = Pacer(2.0, clock)
    pacer.start(50 * SECOND)
    clock.time += 1.0
    pacer.pause(True)
    pacer.pause(True)
    clock.time += 100.0
    assert pacer.paused
    assert pacer.now() == 52 * SECOND
    assert pacer.remaining(54 * SECOND) == pytest.approx(1.0)
    pacer.pause(False)
    pacer.pause(False)
    assert not pacer.paused
    assert pacer.now() == 52 * SECOND
    clock.time += 1.0
    assert pacer.remaining(54 * SECOND) == pytest.approx(0.0)


def test_a_replay_may_start_with_a_pause():
    clock = Clock()
    pacer = Pacer(1.0, clock)
    pacer.pause(True)
    clock.time += 5.0
    pacer.start(50 * SECOND)
    clock.time += 5.0
    assert pacer.now() == 50 * SECOND
    pacer.pause(False)
    clock.time += 1.0
    assert pacer.now() == 51 * SECOND


def write_image(writer, topic, stamp, log_time):
    array = np.zeros((2, 2), np.uint8)
    image = image_message(writer.store, array, stamp, "camera", "mono8")
    writer.write(topic, image, log_time)


@pytest.mark.parametrize(
    ("stamps", "differ"),
    [
        (range(1, 21), True),
        ([0] * 20, False),
        ([5 * SECOND] * 20, False),
        ([k // 10 * SECOND for k in range(20)], False),  # whole seconds
        ([1, 1, 2, 3, 4, 4, 5], True),
        ([0], True),
    ],
)
def test_stamps_that_do_not_tell_images_apart_are_noticed(tmp_path, stamps, differ):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/image", "sensor_msgs/msg/Image")
        for index, stamp in enumerate(stamps):
            write_image(writer, "/image", stamp, index)
    with Bag(tmp_path / "bag") as bag:
        assert stamps_differ(bag, "/image") is differ


def test_the_lead_of_the_stamps_is_that_of_images_not_of_what_was_stamped_long_before(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/image", "sensor_msgs/msg/Image")
        writer.add_topic("/latched", "geometry_msgs/msg/PointStamped")
        writer.add_topic("/words", "std_msgs/msg/String")
        types = writer.store.types
        writer.write("/words", types["std_msgs/msg/String"](data="x"), 1)
        point = types["geometry_msgs/msg/Point"](x=0.0, y=0.0, z=0.0)
        stamped = types["geometry_msgs/msg/PointStamped"]
        writer.write("/latched", stamped(header=header(writer.store, 7, "map"), point=point), 100)
        for stamp in (0, 70):
            write_image(writer, "/image", stamp, 100)
    with Bag(tmp_path / "bag") as bag:
        assert stamp_lead(bag, ["/image", "/latched", "/words"]) == -30
        assert stamp_lead(bag, ["/latched", "/words"]) == -93
        assert stamp_lead(bag, ["/words"]) is None
