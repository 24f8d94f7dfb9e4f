"""The stopwatch adds up seconds by stage: by a clock on the host, by events on a GPU."""

import time

import pytest
import torch

from objectomaly_ros.models.timing import Stopwatch


def test_stages_add_up_on_the_host(monkeypatch):
    ticks = iter([10.0, 10.5, 20.0, 23.0, 30.0, 30.25])
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    watch = Stopwatch("masks", "oasc", "never", device=torch.device("cpu"))
    for stage in ("masks", "oasc", "masks"):
        with watch.stage(stage):
            pass
    assert watch.seconds() == {"masks": 0.75, "oasc": 3.0, "never": 0.0}
    assert list(watch.seconds()) == ["masks", "oasc", "never"]


def test_an_unknown_stage_is_an_error():
    with pytest.raises(KeyError, match="mbp"), Stopwatch("oasc").stage("mbp"):
        pass


def test_events_add_up_on_a_gpu(monkeypatch):
    """Events are read when the seconds are asked for, and counted once."""
    waited = []

    class Event:
        clock = 0

        def __init__(self, enable_timing):
            assert enable_timing

        def record(self, stream):
            assert stream == "the stream of cuda:1"
            self.at = Event.clock = Event.clock + 250

        def synchronize(self):
            waited.append(self.at)

        def elapsed_time(self, end):
            return end.at - self.at  # milliseconds

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"the stream of {device}")
    watch = Stopwatch("masks", "oasc", device=torch.device("cuda", 1))
    for stage in ("masks", "oasc", "masks"):
        with watch.stage(stage):
            assert waited == []
    assert watch.seconds() == {"masks": 0.5, "oasc": 0.25}
    assert waited == [500, 1000, 1500]
    assert watch.seconds() == {"masks": 0.5, "oasc": 0.25}
