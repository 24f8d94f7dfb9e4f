import threading

import pytest

from objectomaly_ros.runtime.frame_queue import FrameQueue


def drain(queue):
    return [queue.get() for _ in range(len(queue))]


def test_frames_come_out_in_order():
    queue = FrameQueue(4)
    for frame in range(4):
        assert queue.put("", frame) is None
    assert drain(queue) == [0, 1, 2, 3]


def test_beyond_capacity_the_oldest_is_dropped():
    queue = FrameQueue(3)
    assert [queue.put("", frame) for frame in range(5)] == [None, None, None, 0, 1]
    assert len(queue) == 3
    assert drain(queue) == [2, 3, 4]


def test_a_fast_camera_neither_pushes_out_nor_starves_another():
    queue = FrameQueue(2)
    queue.put("slow", "s0")
    for frame in range(10):
        queue.put("fast", frame)
    queue.put("slow", "s1")
    assert drain(queue) == ["s0", 8, "s1", 9]


def test_get_waits_for_a_frame():
    queue = FrameQueue(1)
    taken = []
    reader = threading.Thread(target=lambda: taken.append(queue.get()))
    reader.start()
    queue.put("", "frame")
    reader.join(5)
    assert taken == ["frame"]


def test_close_wakes_the_reader_and_drops_the_frames():
    queue = FrameQueue(2)
    taken = []
    reader = threading.Thread(target=lambda: taken.append(queue.get()))
    reader.start()
    queue.close()
    reader.join(5)
    assert taken == [None]
    assert queue.put("", 1) is None
    assert len(queue) == 0
    assert queue.get() is None


def test_a_queue_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1 frame, not 0"):
        FrameQueue(0)
