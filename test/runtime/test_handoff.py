import threading

from objectomaly_ros.runtime.handoff import Handoff


def in_thread(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_items_come_out_in_order_and_each_side_waits_for_the_other():
    handoff, taken = Handoff(), []
    reader = in_thread(lambda: taken.extend(iter(handoff.take, None)))
    for item in range(100):
        handoff.put(item)
    handoff.put("last")
    while len(taken) < 101:
        pass
    handoff.close()
    reader.join(5)
    assert taken == [*range(100), "last"]


def test_there_is_room_for_one():
    handoff = Handoff()
    handoff.put(1)
    writer = in_thread(lambda: handoff.put(2))
    writer.join(0.1)
    assert writer.is_alive()
    assert handoff.take() == 1
    writer.join(5)
    assert not writer.is_alive()
    assert handoff.take() == 2


def test_close_wakes_both_sides_and_forgets_the_item():
    full, empty, taken = Handoff(), Handoff(), []
    full.put(1)
    writer = in_thread(lambda: full.put(2))
    reader = in_thread(lambda: taken.append(empty.take()))
    full.close()
    empty.close()
    writer.join(5)
    reader.join(5)
    assert not writer.is_alive()
    assert taken == [None]
    assert full.take() is None
    full.put(3)
    assert full.take() is None
