import math

import pytest

from objectomaly_ros.runtime.statistics import Rate, Rolling


def test_percentiles_of_what_is_held():
    rolling = Rolling()
    for value in range(101):
        rolling.add(value)
    assert rolling.percentiles().p50 == 50
    assert rolling.percentiles().p95 == 95


def test_old_samples_are_forgotten():
    rolling = Rolling(size=10)
    for value in [1000.0] * 50 + [1.0] * 10:
        rolling.add(value)
    assert rolling.percentiles().p95 == 1.0


def test_without_samples_nothing_is_known():
    assert math.isnan(Rolling().percentiles().p50)
    assert math.isnan(Rolling().percentiles().p95)


def test_a_value_is_held_against_the_usual_ones():
    rolling = Rolling()
    assert rolling.exceeded_by(1.1, least=1.0, factor=5)
    rolling.add(0.5)
    assert not rolling.exceeded_by(2.5, least=1.0, factor=5)
    assert rolling.exceeded_by(2.6, least=1.0, factor=5)
    assert not rolling.exceeded_by(2.6, least=3.0, factor=5)


def test_a_rate_counts_the_window_only():
    now = [0.0]
    rate = Rate(window_s=5.0, clock=lambda: now[0])
    for _ in range(100):  # 10 Hz for 10 s
        now[0] += 0.1
        rate.add()
    assert rate.per_second() == pytest.approx(10.0, rel=0.03)
    now[0] += 2.5
    assert rate.per_second() == pytest.approx(5.0, rel=0.05)
    now[0] += 10
    assert rate.per_second() == 0.0


def test_a_young_rate_is_not_diluted_by_time_before_it():
    now = [100.0]
    rate = Rate(window_s=5.0, clock=lambda: now[0])
    for _ in range(10):
        now[0] += 0.1
        rate.add()
    assert rate.per_second() == pytest.approx(10.0)
