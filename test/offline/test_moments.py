"""The highest anomalies that are apart, and a curve that misses no peak."""

import numpy as np

from objectomaly_ros.offline.moments import curve, most_anomalous


def test_neighbours_of_a_moment_are_left_out():
    times = np.arange(100) / 10
    anomaly = np.zeros(100)
    anomaly[[10, 11, 12, 50, 90]] = [0.7, 0.9, 0.8, 0.3, 0.5]
    assert most_anomalous(times, anomaly, 3) == [11, 90, 50]


def test_of_no_frames_there_is_no_moment():
    assert most_anomalous(np.empty(0), np.empty(0)) == []
    assert curve(np.empty(0), np.empty(0)) == []


def test_a_short_curve_has_every_frame():
    assert curve(np.array([0.0, 0.5]), np.array([0.25, 1.0])) == [(0.0, 0.25), (0.5, 1.0)]


def test_a_long_curve_keeps_its_peaks():
    seconds = np.arange(10_000) / 10
    anomaly = np.zeros(10_000)
    anomaly[[1234, 9999]] = 0.9
    points = curve(seconds, anomaly)
    assert len(points) == 400
    assert [second for second, value in points if value == 0.9] == [123.4, 999.9]
