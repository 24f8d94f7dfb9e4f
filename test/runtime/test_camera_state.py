import pytest

from objectomaly_ros.runtime.camera_state import CameraState


def times(stamps, arrivals):
    state = CameraState()
    result = []
    for stamp, arrival in zip(stamps, arrivals, strict=True):
        state.advance(stamp, arrival)
        result.append(state.time_s)
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


def test_a_stamp_that_goes_back_starts_over():
    state = CameraState()
    assert not state.advance(10.0, 0.0)
    assert not state.advance(10.0, 3.0)
    assert state.advance(2.0, 3.1)
    assert state.time_s == 2.0
    assert not state.advance(2.1, 3.2)
    assert state.time_s == pytest.approx(2.1)
