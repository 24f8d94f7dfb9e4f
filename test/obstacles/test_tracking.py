import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from objectomaly_ros.obstacles.extraction import Region
from objectomaly_ros.obstacles.tracking import ObstacleTracker, _best_pairs, obstacle_ids


def region(x, y, w=20, h=20):
    return Region(1.0, 1.0, (round(x), round(y), w, h), w * h, np.zeros((0, 2), np.int32), (x, y))


def test_ids_follow_crossing_obstacles():
    """Two boxes pass each other on different rows; the order of detections alternates."""
    tracker = ObstacleTracker()
    seen = set()
    for k in range(30):
        pair = [region(10 + 6 * k, 50), region(190 - 6 * k, 62)]
        ids = tracker.update(pair[:: 1 if k % 2 else -1], k * 0.1)
        seen.add(tuple(ids if k % 2 else ids[::-1]))
    assert len(seen) == 1


def test_velocity_bridges_frames_without_the_obstacle():
    tracker = ObstacleTracker(max_missed=5)
    for k in range(6):
        (first,) = tracker.update([region(10 + 8 * k, 40)], k * 0.1)
    for k in range(6, 11):
        assert tracker.update([], k * 0.1) == []
    assert tracker.update([region(10 + 8 * 11, 40)], 1.1) == [first]
    assert tracker.age(first) == 11


def test_irregular_stamps_are_taken_into_account():
    tracker = ObstacleTracker()
    times = [0.0, 0.1, 0.2, 0.3, 0.9, 1.0]
    ids = [tracker.update([region(100 * t, 40)], t)[0] for t in times]
    assert ids == [1] * 6


def test_after_too_many_missed_frames_the_id_is_never_used_again():
    tracker = ObstacleTracker(max_missed=2)
    assert tracker.update([region(10, 10)], 0.0) == [1]
    for k in range(1, 4):
        tracker.update([], k * 0.1)
    assert len(tracker) == 0
    assert tracker.update([region(10, 10)], 0.4) == [2]
    with pytest.raises(KeyError, match="1"):
        tracker.age(1)


def test_at_a_low_rate_another_obstacle_later_at_the_same_place_gets_another_id():
    tracker = ObstacleTracker(max_missed=5)
    assert tracker.update([region(10, 10)], 0.0) == [1]
    assert tracker.update([region(10, 10)], 2.5) == [1]  # in the next frame, whenever that is
    tracker.update([], 4.0)
    assert tracker.update([region(10, 10)], 5.5) == [2]


def test_reset_forgets_obstacles_and_uses_no_id_again():
    tracker = ObstacleTracker()
    tracker.update([region(10, 10), region(80, 80)], 5.0)
    tracker.reset()
    assert len(tracker) == 0
    assert tracker.update([region(80, 80)], 0.0) == [3]
    assert tracker.age(3) == 0


def test_a_frame_out_of_order_gets_ids_and_moves_no_track():
    plain, disturbed = ObstacleTracker(), ObstacleTracker()
    for k in range(10):
        boxes, time_s = [region(10 + 6 * k, 50), region(150, 20)], k * 0.1
        assert plain.update(boxes, time_s) == disturbed.update(boxes, time_s) == [1, 2]
        older = [region(4 + 6 * k, 50), region(150, 20), region(60, 200)]
        ids, ages = disturbed.look_up(older, time_s)
        assert ids[:2] == [1, 2]
        assert ids[2] == 3 + k  # tracked by nobody, and no id of another
        assert ages == [k, k, 0]
    assert len(disturbed) == 2


def test_trackers_may_share_ids():
    ids = obstacle_ids()
    first, second = ObstacleTracker(ids=ids), ObstacleTracker(ids=ids)
    assert first.update([region(10, 10)], 0.0) == [1]
    assert second.update([region(10, 10)], 0.0) == [2]
    assert first.update([region(10, 10), region(80, 80)], 0.1) == [1, 3]


def test_small_distant_obstacles_that_jitter_keep_their_ids():
    rng = np.random.default_rng(0)
    tracker = ObstacleTracker()
    ids = {
        tracker.update([region(*(100 + rng.integers(-2, 3, 2)), 4, 4)], k / 15)[0]
        for k in range(50)
    }
    assert ids == {1}


def test_a_far_obstacle_is_a_new_one():
    tracker = ObstacleTracker()
    tracker.update([region(10, 10)], 0.0)
    assert tracker.update([region(200, 10)], 0.1) == [2]


def test_a_bad_pair_does_not_steal_a_good_match():
    """The assignment with the most pairs would move both ids by one box."""
    tracker = ObstacleTracker(min_iou=0.3)
    tracker.update([region(0, 0), region(14, 0)], 0.0)
    ids = tracker.update([region(14, 0), region(28, 0)], 0.1)
    assert ids == [2, 3]


@pytest.mark.parametrize("seed", range(3))
def test_ids_are_unique_in_a_frame_never_reused_and_memory_stays_bounded(seed):
    rng = np.random.default_rng(seed)
    tracker = ObstacleTracker(max_missed=3)
    last_seen: dict[int, int] = {}
    for k in range(300):
        boxes = [region(*rng.integers(0, 200, 2), *rng.integers(1, 60, 2)) for _ in range(k % 7)]
        ids = tracker.update(boxes, k / 10)
        assert len(ids) == len(set(ids)) == len(boxes)
        for track_id in ids:
            assert k - last_seen.get(track_id, k) <= 4
            last_seen[track_id] = k
        assert len(tracker) <= 6 * 4


def test_a_stamp_that_does_not_advance_is_survived():
    tracker = ObstacleTracker()
    for stamp in (1.0, 1.0, 0.5, 1.0):
        assert tracker.update([region(10, 10)], stamp) == [1]


def test_bad_parameters_are_refused():
    with pytest.raises(ValueError, match="min_iou is 0"):
        ObstacleTracker(min_iou=0.0)
    with pytest.raises(ValueError, match="max_missed is -1"):
        ObstacleTracker(max_missed=-1)


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (7, 3), (5, 5), (0, 4), (4, 0)])
def test_pairs_are_those_of_highest_total_worth(shape):
    worth = np.random.default_rng(shape).random(shape)
    worth[worth < 0.5] = 0  # as pairs that do not overlap
    pairs = _best_pairs(worth)
    assert len(pairs) == min(shape)
    best = worth[linear_sum_assignment(worth, maximize=True)].sum()
    assert sum(worth[pair] for pair in pairs) == pytest.approx(best)


def test_noise_does_not_fill_the_memory():
    tracker = ObstacleTracker(max_missed=1000)
    for frame in range(30):
        boxes = [region(1000 * frame + 50 * n, 50 * n) for n in range(200)]
        ids = tracker.update(boxes, frame * 0.01)
        assert ids == list(range(200 * frame + 1, 200 * frame + 201))
        assert [tracker.age(number) for number in ids] == [0] * 200
    assert len(tracker) == 2048
