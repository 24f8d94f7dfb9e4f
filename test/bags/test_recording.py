from __future__ import annotations

import threading
import time

import pytest

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.playback import names_below
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.bags.recording import BagRecording
from objectomaly_ros.bags.typestore import make_typestore
from objectomaly_ros.bags.writer import BagWriter

STORE = make_typestore()


def cdr(text):
    message = STORE.types["std_msgs/msg/String"](data=text)
    return bytes(STORE.serialize_cdr(message, "std_msgs/msg/String"))


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_everything_queued_is_in_the_bag_after_close(tmp_path, storage):
    recording = BagRecording(lambda: BagWriter(tmp_path / "bag", storage=storage))
    recording.add_topic("/words", "std_msgs/msg/String")
    for index in range(500):
        assert recording.put("/words", index, cdr(f"word {index}"))
    recording.close()
    recording.close()
    assert recording.counts == {"/words": 500}
    assert (tmp_path / "bag" / "metadata.yaml").is_file()
    with Bag(tmp_path / "bag") as bag:
        assert [bag.decode(m).data for m in bag.messages()] == [f"word {i}" for i in range(500)]
        assert bag.damage is None


class SlowWriter(BagWriter):
    """A bag on a disk that stands still until it is let go."""

    go = threading.Event()

    def write_raw(self, topic, data, log_time):
        self.go.wait(10)
        super().write_raw(topic, data, log_time)


def test_a_full_queue_drops_and_counts_and_never_blocks(tmp_path):
    recording = BagRecording(lambda: SlowWriter(tmp_path / "bag"), max_queue_bytes=10_000)
    recording.add_topic("/words", "std_msgs/msg/String")
    data = cdr("x" * 976)
    begin = time.monotonic()
    kept = sum(recording.put("/words", index, data) for index in range(100))
    assert time.monotonic() - begin < 5
    assert kept == 10_000 // len(data)
    assert recording.dropped["/words"] == 100 - kept
    SlowWriter.go.set()
    recording.close()
    assert recording.counts == {"/words": kept}


class FullDisk(BagWriter):
    """A bag on a disk with room for three messages."""

    def write_raw(self, topic, data, log_time):
        with self._errors():
            if self.counts[topic] == 3:
                raise OSError(28, "No space left on device")
        super().write_raw(topic, data, log_time)


def test_a_full_disk_ends_the_recording_and_keeps_what_was_written(tmp_path):
    recording = BagRecording(lambda: FullDisk(tmp_path / "bag"))
    recording.add_topic("/words", "std_msgs/msg/String")
    for index in range(5):
        recording.put("/words", index, cdr(str(index)))
    with pytest.raises(
        BagError,
        match=r"bag cannot be written: no space left after \d+ bytes",
    ):
        recording.close()
    assert recording.failure is not None
    assert not recording.put("/words", 9, cdr("late"))
    with Bag(tmp_path / "bag") as bag:
        assert len(list(bag.messages())) == 3


def test_a_bag_that_cannot_be_created_is_said_at_once(tmp_path):
    with pytest.raises(BagError, match="exists already"):
        BagRecording(lambda: BagWriter(tmp_path))


def test_names_below_a_namespace():
    topics = [
        "/objectomaly/score",
        "/objectomaly_2/score",
        "/rosout",
        "/objectomaly/_hidden",
        "/a/b",
    ]
    assert names_below(topics, "/objectomaly") == ["/objectomaly/score"]
    assert names_below(topics, "objectomaly/") == ["/objectomaly/score"]
    assert names_below(topics, "/") == [
        "/a/b",
        "/objectomaly/score",
        "/objectomaly_2/score",
        "/rosout",
    ]
