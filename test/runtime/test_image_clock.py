import pytest

from objectomaly_ros.runtime.image_clock import ImageClock, Order


def times(stamps, arrivals):
    clock = ImageClock()
    result = []
    for stamp, arrival in zip(stamps, arrivals, strict=True):
        clock.take(stamp, arrival)
        result.append(clock.time_s)
    return result


def test_stamps_that_advance_are_the_time_at_any_replay_speed():
    stamps = [100.0, 100.1, 100.2]
    for pace in (0.05, 0.1, 10.0):
        assert times(stamps, [7.0 + k * pace for k in range(3)]) == stamps


def test_while_stamps_stand_still_arrival_counts():
    assert times([50.0] * 3, [7.0, 7.2, 7.5]) == pytest.approx([50.0, 50.2, 50.5])


def test_stamps_of_whole_seconds_keep_pace():
    """Ten frames share each stamp; arrival counts in between, and no second counts twice."""
    frames = [k / 10 for k in range(30)]
    got = times([float(int(s)) for s in frames], [9.0 + s for s in frames])
    assert got == pytest.approx(frames)


def test_time_never_goes_back_when_frozen_stamps_go_on():
    stamps, arrivals = [10.0, 10.0, 10.1, 10.2], [0.0, 5.0, 5.1, 5.2]
    assert times(stamps, arrivals) == pytest.approx([10.0, 15.0, 15.0, 15.1])


def test_a_stamp_that_goes_back_by_a_second_starts_over():
    clock = ImageClock()
    assert clock.take(10.0, 0.0) is Order.NEXT
    assert clock.take(10.0, 3.0) is Order.NEXT
    assert clock.take(9.0, 3.1) is Order.JUMP
    assert clock.time_s == 9.0
    assert clock.take(9.1, 3.2) is Order.NEXT
    assert clock.time_s == pytest.approx(9.1)


def test_a_stamp_that_goes_back_by_less_is_late_and_moves_nothing():
    clock = ImageClock()
    orders = [clock.take(stamp, 0.0) for stamp in (10.0, 10.2, 10.1, 9.3, 10.3, 10.28, 10.4)]
    late = [index for index, order in enumerate(orders) if order is Order.LATE]
    assert late == [2, 3, 5]
    assert Order.JUMP not in orders
    assert (clock.newest_s, clock.time_s) == (10.4, 10.4)


def test_a_bag_shorter_than_a_second_that_loops_is_noticed():
    clock = ImageClock()
    orders = [clock.take(k % 5 / 10, k / 10) for k in range(200)]
    assert 3 <= orders.count(Order.JUMP) <= 6
