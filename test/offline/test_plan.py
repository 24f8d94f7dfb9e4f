"""Blocks have one keyframe each, and end where masks cannot be carried on."""

import numpy as np

from objectomaly_ros.offline.plan import Plan, chosen, make_plan
from objectomaly_ros.offline.recording import Stream

START = 1_700_000_000_000_000_000


def stream(seconds, log=None):
    stamps = START + np.round(np.array(seconds) * 1e9).astype(np.int64)
    times = np.arange(len(stamps)) * 100_000_000 + START if log is None else log
    return Stream("/image", times, stamps, np.zeros(len(stamps), np.int64))


def test_every_nth_image_begins_a_block():
    plan = make_plan(stream(np.arange(10) / 10), 4)
    assert plan.blocks.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    assert plan.runs.tolist() == [0] * 10


def test_a_block_lasts_two_seconds_at_most():
    plan = make_plan(stream([0, 1, 2, 3, 4, 9, 9.5]), 10)
    assert plan.blocks.tolist() == [0, 0, 0, 1, 1, 2, 2]


def test_a_jump_back_ends_a_run_and_disorder_does_not():
    plan = make_plan(stream([5, 5.1, 5.05, 5.2, 0, 0.1]), 10)
    assert plan.runs.tolist() == [0, 0, 0, 0, 1, 1]
    assert plan.blocks.tolist() == [0, 0, 0, 0, 1, 1]
    assert plan.times[2] == plan.times[1]


def test_stamps_that_stand_still_take_the_log_times():
    plan = make_plan(stream([0] * 5), 10)
    np.testing.assert_allclose(np.diff(plan.times), 0.1, rtol=0, atol=1e-6)


def test_segments_begin_with_a_block():
    plan = make_plan(stream(np.arange(100) / 10), 7, segment_frames=20)
    assert plan.segments == [0, 21, 42, 63, 84, 100]
    assert all(plan.blocks[first] != plan.blocks[first - 1] for first in plan.segments[1:-1])


def test_a_plan_is_saved(tmp_path):
    plan = make_plan(stream(np.arange(10) / 10), 4, segment_frames=4)
    plan.save(tmp_path / "plan.npz")
    back = Plan.load(tmp_path / "plan.npz")
    assert back.stream.topic == "/image"
    for name in ("log_times", "stamps", "ranks"):
        np.testing.assert_array_equal(getattr(back.stream, name), getattr(plan.stream, name))
    np.testing.assert_array_equal(back.blocks, plan.blocks)
    assert back.segments == plan.segments == [0, 4, 8, 10]


def test_a_span_is_chosen_by_log_time():
    whole = stream(np.arange(10))
    assert chosen(whole, START, 0.25, 0.7, 2).stamps.tolist() == whole.stamps[[3, 5]].tolist()
    assert len(chosen(whole, START, 5.0, 9.0, 1)) == 0
    assert len(chosen(whole, START, 0.0, float("inf"), 1)) == 10
