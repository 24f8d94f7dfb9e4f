"""The simulated fleet against what can be said without it, and costs of a real recording."""

import cv2
import pytest
from offline_drives import job, picture

from objectomaly_ros.offline.plan import SEGMENT_FRAMES
from tools.experiments.simulate_fleet import Cost, Fleet, measure, simulate

COSTS = (Cost(0.0, 0.0), Cost(0.1, 1e5), Cost(0.01, 1e4))


def seconds(recordings, costs=COSTS, **fleet):
    return simulate(recordings, costs, Fleet(**fleet))[0]


def test_one_worker_does_everything_in_turn():
    assert seconds([1000, 500], workers=1) == pytest.approx(1500 * 0.11)


def test_workers_share_the_segments_of_one_recording():
    frames = 8 * SEGMENT_FRAMES
    alone, four, many = (seconds([frames], workers=n) for n in (1, 4, 256))
    assert alone == pytest.approx(frames * 0.11)
    assert four == pytest.approx(frames * (0.1 / 4 + 0.01))  # one worker assembles
    assert many == pytest.approx(frames * (0.1 / 8 + 0.01))


def test_many_recordings_are_nearly_linear():
    many = [2000] * 64
    assert seconds(many, workers=1) / seconds(many, workers=32) > 30


def test_the_last_segment_is_the_rest():
    frames = 2 * SEGMENT_FRAMES - 1
    assert seconds([frames], workers=8) == pytest.approx(SEGMENT_FRAMES * 0.1 + frames * 0.01)
    assert seconds([7], workers=8) == pytest.approx(7 * 0.11)


def test_a_common_disk_limits():
    many = [2000] * 64
    read = sum(many) * 1e5
    few, more = (seconds(many, workers=n, disk=1e7) for n in (64, 256))
    assert more >= read / 1e7
    assert more == pytest.approx(few, rel=0.1)  # further workers neither help nor harm


def test_dead_workers_cost_their_tasks():
    well = seconds([2000] * 16, workers=8)
    took, lost = simulate([2000] * 16, COSTS, Fleet(8, lifetime=200.0, restart=5.0), seed=3)
    assert took > well
    assert 0 < lost < 0.5
    assert simulate([2000] * 16, COSTS, Fleet(8))[1] == 0


def test_costs_of_a_recording(tmp_path):
    (tmp_path / "drive").mkdir()
    for index in range(12):
        cv2.imwrite(str(tmp_path / "drive" / f"{index}.png"), picture(index))
    scan, segment, assembly = measure(tmp_path / "drive", tmp_path / "out", job(masks="none"))
    assert segment.seconds > 0
    assert segment.bytes > scan.bytes > 0
    assert assembly.bytes > 0
