import threading

import numpy as np
import pytest

from objectomaly_ros.runtime.frame_queue import FrameQueue


class Lane:
    """A queue on a clock that is set by hand, and the frames that it dropped."""

    def __init__(self, size):
        self.now, self.dropped = 0.0, []
        self.queue = FrameQueue(size, self.dropped.append, lambda: self.now)

    def drain(self):
        return [self.queue.get() for _ in range(len(self.queue))]

    def play(self, arrivals, service_s):
        """Serve frames that arrive at these times; return times of arrival and of service."""
        served, waiting = [], list(arrivals)

        def arrive():
            while waiting and waiting[0] <= end:
                self.now = waiting.pop(0)
                self.queue.put("", self.now)
            self.now = end

        end = 0.0
        while waiting or len(self.queue):
            arrive()
            if not len(self.queue):
                # As the reader does, wait for the next frame.
                reader = threading.Thread(target=lambda: served.append(self.queue.get()))
                reader.start()
                while not self.queue._ready._waiters:
                    pass
                self.now = end = waiting[0]
                self.queue.put("", waiting.pop(0))
                reader.join(5)
            else:
                served.append(self.queue.get())
            served[-1] = served[-1], end
            end += service_s
        return served


def regular(rate, seconds, start=0.0):
    return [start + k / rate for k in range(int(rate * seconds))]


def test_frames_come_out_in_order():
    lane = Lane(4)
    for frame in range(4):
        lane.queue.put("", frame)
    assert lane.drain() == [0, 1, 2, 3]
    assert lane.dropped == []


def test_beyond_capacity_the_oldest_is_dropped():
    lane = Lane(3)
    for frame in range(5):
        lane.queue.put("front", frame)
    assert lane.dropped == ["front", "front"]
    assert len(lane.queue) == 3
    assert lane.drain() == [2, 3, 4]


def test_a_fast_camera_neither_pushes_out_nor_starves_another():
    lane = Lane(2)
    lane.queue.put("slow", "s0")
    for frame in range(10):
        lane.queue.put("fast", frame)
    lane.queue.put("slow", "s1")
    assert lane.drain() == ["s0", 8, "s1", 9]
    assert lane.dropped == ["fast"] * 8


@pytest.mark.parametrize("service_s", [0.02, 0.1, 0.15, 0.3, 1.0, 5.0])
@pytest.mark.parametrize("size", [1, 4, 7])
def test_a_burst_after_a_pause_loses_nothing(size, service_s):
    lane = Lane(size)
    pause = 3 * service_s
    quiet = [k * pause for k in range(5)]
    served = lane.play(quiet + [4 * pause + pause] * (size + 1), service_s)
    # One is served at once, `size` wait.
    assert [arrived for arrived, _ in served] == quiet + [5 * pause] * (size + 1)
    assert lane.dropped == []


@pytest.mark.parametrize(
    ("service_s", "rate"), [(0.15, 20), (0.2, 20), (0.1, 12), (0.4, 30), (1, 10)]
)
def test_in_overload_frames_are_as_new_as_can_be(service_s, rate):
    lane = Lane(4)
    served = lane.play(regular(rate, max(30, 200 * service_s)), service_s)
    latency = np.array([begun - arrived + service_s for arrived, begun in served]) / service_s
    assert np.percentile(latency, 50) <= 1.6
    assert np.percentile(latency, 95) <= 2.2
    assert len(served) >= 0.95 * served[-1][1] / service_s, "the detector was idle"
    assert lane.queue.overload_s() > 3


def test_in_overload_the_newest_frame_is_served():
    lane = Lane(4)
    served = lane.play(regular(20, 10), 0.15)
    for arrived, begun in served[20:-2]:  # the last ones compete with none
        assert 0 <= begun - arrived <= 0.05 + 1e-9


def test_short_of_overload_nothing_is_dropped():
    lane = Lane(4)
    jitter = np.random.default_rng(1).normal(0, 0.01, 300)
    arrivals = sorted(np.add(regular(10, 30), jitter).clip(0).tolist())
    assert len(lane.play(arrivals, 0.09)) == 300
    assert lane.queue.overload_s() == 0


def test_after_overload_bursts_pass_again():
    lane = Lane(4)
    lane.play(regular(20, 5), 0.15)
    dropped = len(lane.dropped)
    assert dropped > 50
    start = lane.now + 10
    lane.play([start] * 4, 0.15)
    assert len(lane.dropped) == dropped
    assert lane.queue.overload_s() == 0


def test_two_cameras_share_an_overloaded_detector():
    lane = Lane(4)
    served = []
    for k in range(200):
        lane.now = k * 0.05
        for camera in ("left", "right"):
            lane.queue.put(camera, (camera, k))
        if k % 3 == 2:
            served.append(lane.queue.get())
    cameras = [camera for camera, _ in served[10:]]
    assert cameras[::2] == ["left"] * len(cameras[::2]) or cameras[::2] == ["right"] * len(
        cameras[::2]
    )
    assert set(cameras) == {"left", "right"}


@pytest.mark.parametrize(("cameras", "service_s"), [(2, 0.1), (3, 0.1), (4, 0.05), (6, 0.05)])
def test_a_burst_of_every_camera_loses_nothing(cameras, service_s):
    lane = Lane(4)
    for burst in range(6):
        lane.now = 10.0 * burst
        for k in range(4 * cameras):
            lane.queue.put(f"{k % cameras}", k)
        for _ in range(4 * cameras):
            lane.queue.get()
            lane.now += service_s
    assert lane.dropped == []


def test_get_waits_for_a_frame():
    lane, taken = Lane(1), []
    reader = threading.Thread(target=lambda: taken.append(lane.queue.get()))
    reader.start()
    lane.queue.put("", "frame")
    reader.join(5)
    assert taken == ["frame"]


def test_close_wakes_the_reader_and_forgets_the_frames():
    lane, taken = Lane(2), []
    reader = threading.Thread(target=lambda: taken.append(lane.queue.get()))
    reader.start()
    lane.queue.close()
    reader.join(5)
    assert taken == [None]
    lane.queue.put("", 1)
    assert len(lane.queue) == 0
    assert lane.queue.get() is None


def test_a_queue_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1 frame, not 0"):
        FrameQueue(0, print)
