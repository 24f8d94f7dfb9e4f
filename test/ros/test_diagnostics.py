"""The node's health, told from counters; the camera and the engine are plain records here."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="DiagnosticStatus needs rclpy: scripts/env")

from diagnostic_msgs.msg import DiagnosticStatus

from objectomaly_ros.ros.diagnostics import (
    Seen,
    add_faults,
    camera_status,
    engine_status,
    idle_status,
)
from objectomaly_ros.runtime.camera_state import CameraState
from objectomaly_ros.runtime.statistics import Rolling

pytestmark = pytest.mark.ros

NOW = 100.0


def camera(publishers=1, lost=0, blind=None, unreadable=0, depth=None):
    return SimpleNamespace(
        topic="/car/front/image",
        name_of_image="front/image",
        other_images=lambda: ["/cam/color", "/cam/depth"],
        scores=None,
        depth=depth,
        lost=lost,
        unreadable=unreadable,
        seen=SimpleNamespace(low=0.1, high=0.9),
        publishers_of_image=lambda: publishers,
        geometry=SimpleNamespace(
            origin="TF base_link <- front_optical", model="K and D (D is not zero)", blind=blind
        ),
    )


def state(last_received_s=NOW - 0.1, **counters):
    result = CameraState(last_received_s=last_received_s)
    for name, value in counters.items():
        setattr(result.counters, name, value)
    return result


def values(status):
    return {pair.key: pair.value for pair in status.values}


@pytest.mark.parametrize(
    ("found", "level", "told"),
    [
        (state(received=10, scored=10), DiagnosticStatus.OK, "every image is scored"),
        (state(received=10, failed=2), DiagnosticStatus.ERROR, "2 images failed, see the log"),
        (state(received=10, rejected=3), DiagnosticStatus.WARN, "3 images refused"),
        (state(received=10, dropped=4), DiagnosticStatus.WARN, "4 images dropped"),
        (
            state(last_received_s=None),
            DiagnosticStatus.WARN,
            "no image on /car/front/image yet, publishers: 1; see that QoS matches",
        ),
        (
            state(received=300, last_received_s=NOW - 5),
            DiagnosticStatus.WARN,
            "images arrived until 5 s ago; publishers on /car/front/image now: 1",
        ),
    ],
)
def test_a_camera_is_as_well_as_its_worst_trouble(found, level, told):
    status = camera_status("objectomaly: front", camera(), found, Seen(), now=NOW)
    assert status.level == level
    assert told in status.message
    assert status.name == "objectomaly: front"


def test_a_topic_that_nobody_publishes_asks_for_a_remap():
    status = camera_status("c", camera(publishers=0), state(None), Seen(), now=NOW)
    assert "nobody publishes on /car/front/image" in status.message
    assert "remap front/image to yours (/cam/color, /cam/depth now)" in status.message
    status = camera_status("c", camera(publishers=0), state(NOW - 30), Seen(), now=NOW)
    assert status.message.endswith("until 30 s ago; publishers on /car/front/image now: 0")


def test_the_source_of_the_pose_is_told_and_a_camera_that_sees_no_ground_is_a_warning():
    status = camera_status("c", camera(), state(), Seen(), now=NOW)
    assert values(status)["camera pose"] == "TF base_link <- front_optical"
    assert values(status)["camera model"] == "K and D (D is not zero)"
    assert status.level == DiagnosticStatus.OK
    status = camera_status("c", camera(blind="it looks up"), state(), Seen(), now=NOW)
    assert (status.level, status.message) == (DiagnosticStatus.WARN, "it looks up")


def test_unreadable_messages_are_a_warning_while_they_come():
    seen = Seen()
    status = camera_status("c", camera(unreadable=3), state(None), seen, now=NOW)
    assert (status.level, status.message) == (
        DiagnosticStatus.WARN,
        "3 messages unreadable, see the log",
    )
    assert camera_status("c", camera(unreadable=3), state(), seen, now=NOW).message == (
        "every image is scored"
    )


def test_old_trouble_is_told_once():
    seen, found = Seen(), state(received=10, failed=2, dropped=1)
    assert camera_status("c", camera(), found, seen, now=NOW).level == DiagnosticStatus.ERROR
    assert camera_status("c", camera(), found, seen, now=NOW).level == DiagnosticStatus.OK
    found.counters.dropped += 1
    status = camera_status("c", camera(), found, seen, now=NOW)
    assert status.message.startswith("1 images dropped")
    assert values(status)["images dropped"] == "2"


def test_the_figures_are_there_and_unknown_ones_are_no_nan():
    found = state(received=12, scored=11, refined=5)
    shown = values(camera_status("c", camera(lost=3, unreadable=2), found, Seen(), now=NOW))
    assert shown["images received"] == "12"
    assert shown["messages unreadable"] == "2"
    assert shown["scores seen"] == "0.1 to 0.9"
    assert shown["images refined"] == "5"
    assert shown["images lost before the node"] == "3"
    assert shown["total latency p95 (ms)"] == "-"
    for _ in range(20):
        found.latency.add(0.05)
    shown = values(camera_status("c", camera(), found, Seen(), now=NOW))
    assert shown["total latency p95 (ms)"] == "50.0"


def engine(**fields):
    known = {
        "adapted": "",
        "last_error": None,
        "masks": None,
        "problem": lambda: None,
    }
    return SimpleNamespace(**(known | fields))


def test_the_engine_tells_its_last_error_and_forgives_it():
    seen = Seen()
    masks = SimpleNamespace(
        failures=1, seconds=Rolling(), worker=SimpleNamespace(busy_seconds=lambda: 0.0)
    )
    failed = engine(masks=masks, last_error=(NOW - 1, "out of memory"))
    status = engine_status("e", failed, seen, device="cpu", now=NOW)
    assert (status.level, status.message) == (DiagnosticStatus.WARN, "out of memory")
    later = engine_status("e", failed, seen, device="cpu", now=NOW + 60)
    assert later.level == DiagnosticStatus.OK
    assert values(later)["last error"] == "out of memory (61 s ago)"


def test_a_detector_that_was_made_quicker_is_a_warning():
    status = engine_status("e", engine(adapted="size 3 -> 2"), Seen(), device="cpu", now=NOW)
    assert status.level == DiagnosticStatus.WARN
    assert status.message == "running with a quicker, less accurate detector: size 3 -> 2"
    assert values(status)["detector made quicker"] == "size 3 -> 2"


def test_what_keeps_the_engine_from_its_work_is_an_error():
    stuck = engine(last_error=(NOW - 1, "old"), problem=lambda: "the detector has taken 3 s")
    status = engine_status("e", stuck, Seen(), device="cpu", now=NOW)
    assert (status.level, status.message) == (
        DiagnosticStatus.ERROR,
        "the detector has taken 3 s",
    )


def test_a_node_that_could_not_become_active_is_an_error():
    assert idle_status("n", "inactive", None, "cpu").level == DiagnosticStatus.OK
    status = idle_status("n", "unconfigured", "no checkpoint /x.pth", "cpu")
    assert (status.level, status.message) == (DiagnosticStatus.ERROR, "no checkpoint /x.pth")


def test_one_exception_warns_and_repeated_ones_are_an_error():
    def level(*ages):
        status = idle_status("n", "inactive", None, "cpu")
        faults = [(NOW - age, f"exception {index}") for index, age in enumerate(ages)]
        add_faults(status, faults, now=NOW)
        return status.level, status.message

    assert level() == (DiagnosticStatus.OK, "inactive")
    assert level(60.0, 50.0, 40.0) == (DiagnosticStatus.OK, "inactive")
    assert level(60.0, 3.0) == (DiagnosticStatus.WARN, "exception 1")
    assert level(3.0, 2.0, 1.0) == (DiagnosticStatus.ERROR, "exception 2")


def test_images_unlike_the_training_are_a_warning_with_the_remedy():
    found = state(received=10, scored=10)
    for second in range(12):
        found.strangeness.add(1.5, second)
    status = camera_status("objectomaly: front", camera(), found, Seen(), now=NOW)
    assert status.level == DiagnosticStatus.WARN
    assert "objectomaly learn" in status.message


@pytest.mark.parametrize("problem", [None, "no depth yet on /depth"])
def test_missing_depth_is_a_warning(problem):
    counts = {"frames with depth": 3, "frames without depth": 2}
    depth = SimpleNamespace(problem=lambda: problem, counts=lambda: counts)
    status = camera_status("n", camera(depth=depth), state(received=9), Seen(), now=NOW)
    assert values(status)["frames with depth"] == "3"
    expected = (DiagnosticStatus.WARN, problem) if problem else (DiagnosticStatus.OK, "every image")
    assert status.level == expected[0]
    assert status.message.startswith(expected[1])
