import pytest

from objectomaly_ros.runtime.cadence import Cadence, CadenceSettings


def keyframes(cadence, stamps, first=0):
    return [k for k, stamp in enumerate(stamps) if cadence.due(first + k, stamp)]


STAMPS = [k / 10 for k in range(40)]  # 10 Hz


def test_every_nth_frame_from_the_first_on():
    assert keyframes(Cadence(CadenceSettings(every_n=15)), STAMPS) == [0, 15, 30]


def test_every_frame():
    assert keyframes(Cadence(CadenceSettings(every_n=1)), STAMPS) == list(range(40))


def test_images_that_were_dropped_count():
    cadence = Cadence(CadenceSettings(every_n=10))
    scored = [0, 4, 9, 13, 19, 22, 30]
    assert [number for number in scored if cadence.due(number, 0.0)] == [0, 13, 30]


def test_a_period_of_image_time_takes_the_place_of_every_n():
    cadence = Cadence(CadenceSettings(every_n=2, period_s=1.0))
    assert keyframes(cadence, STAMPS) == [0, 10, 20, 30]


def test_a_period_between_two_frames_waits_for_the_later():
    assert keyframes(Cadence(CadenceSettings(period_s=0.25)), STAMPS)[:4] == [0, 3, 6, 9]


def test_the_period_is_of_image_time_whatever_the_replay_rate():
    slow = [1000 + k / 2 for k in range(10)]
    assert keyframes(Cadence(CadenceSettings(period_s=1.0)), slow) == [0, 2, 4, 6, 8]


def test_with_both_off_only_a_request_makes_a_keyframe():
    cadence = Cadence(CadenceSettings(every_n=0, period_s=0.0))
    assert keyframes(cadence, STAMPS) == []
    cadence.request()
    assert keyframes(cadence, STAMPS) == [0]


def test_a_request_starts_the_count_anew():
    cadence = Cadence(CadenceSettings(every_n=10))
    assert keyframes(cadence, STAMPS[:4]) == [0]
    cadence.request()
    assert keyframes(cadence, STAMPS[4:], first=4) == [0, 10, 20, 30]


def test_settings_change_at_once():
    cadence = Cadence(CadenceSettings(every_n=100))
    assert keyframes(cadence, STAMPS[:10]) == [0]
    cadence.settings = CadenceSettings(every_n=5)
    assert keyframes(cadence, STAMPS[:10], first=10) == [0, 5]


@pytest.mark.parametrize(
    "settings", [CadenceSettings(every_n=15), CadenceSettings(every_n=0, period_s=5.0)]
)
def test_after_a_reset_the_first_frame_is_due_also_with_an_older_stamp(settings):
    cadence = Cadence(settings)
    assert cadence.due(70, 500.0)
    cadence.reset()
    assert cadence.due(71, 3.0)
    assert not cadence.due(72, 3.1)
