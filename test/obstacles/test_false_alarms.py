"""False obstacles over the threshold, and the threshold for a wanted number."""

import numpy as np
import pytest

from objectomaly_ros.obstacles.false_alarms import FalseAlarms
from objectomaly_ros.types import Detection


def frame(boxes, road=None):
    score = np.full((100, 120), 0.01, np.float32)
    for (y, x), value in boxes.items():
        score[y : y + 10, x : x + 10] = value
    return Detection(score, road)


def counted(frames):
    alarms = FalseAlarms([found.score.max() for found in frames])
    for index, found in enumerate(frames):
        alarms.add(found, index * 0.1)
    return alarms


def at(alarms, threshold):
    return alarms.counts[np.argmin(np.abs(alarms.thresholds - threshold))]


def test_an_obstacle_counts_once_while_it_is_seen():
    frames = [frame({(60, 20): 0.9, (20, 80): 0.5})] * 20 + [frame({(60, 80): 0.9})] * 5
    frames += [frame({})] * 10
    alarms = counted(frames)
    assert at(alarms, 0.3) == 3
    assert at(alarms, 0.8) == 2
    assert alarms.counts[-1] == 0


def test_obstacles_off_the_road_and_specks_do_not_count():
    road = np.zeros((100, 120), np.bool_)
    road[50:] = True
    frames = [frame({(20, 80): 0.9, (70, 30): 0.6}, road)] * 3
    frames[0].score[90:93, 90:93] = 0.95
    frames.append(frame({}))
    assert at(counted(frames), 0.5) == 1
    assert at(counted(frames), 0.8) == 0


def fading(values):
    """One obstacle a frame, far from the last one, each with another peak."""
    boxes = [{(60, 5 + 35 * (index % 3)): value} for index, value in enumerate(values)]
    return [part for box in boxes for part in (frame(box), *[frame({})] * 6)]


def test_the_threshold_allows_the_wanted_number():
    values = np.linspace(0.2, 0.9, 30)
    alarms = counted(fading(values))
    threshold = alarms.threshold_for(5)
    assert 1 <= (values > threshold).sum() <= 5


def test_a_short_drive_continues_the_fall_of_the_counts():
    alarms = counted(fading(np.linspace(0.2, 0.9, 30)))
    assert alarms.threshold_for(0.5) > 0.9
    assert alarms.threshold_for(0.001) == alarms.threshold_for(0.5) < 1


def test_scores_of_any_range_are_taken():
    values = np.linspace(-5, 40, 30)
    frames = [frame({(60, 20): value}) for value in values]
    for found in frames:
        found.score[found.score == np.float32(0.01)] = -20
    alarms = counted(frames)
    assert alarms.threshold_for(0.5) > 40
    assert alarms.counts[0] > 0


def test_without_any_the_lowest_threshold_does():
    alarms = counted([frame({})] * 5)
    assert alarms.threshold_for(1) == pytest.approx(alarms.thresholds[0])
