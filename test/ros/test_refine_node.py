"""The real node in a process of its own, over real DDS."""

import itertools
import re
import time

import numpy as np
import pytest
from domains import next_domain

pytest.importorskip(
    "rclpy", reason="the node needs rclpy and built messages: run under scripts/env"
)

import graph as g
from diagnostic_msgs.msg import DiagnosticStatus
from malformed import MALFORMED, jpeg, smooth
from objectomaly_ros.msg import ObstacleArray, RefinementStatus
from rcl_interfaces.msg import ParameterType
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

pytestmark = pytest.mark.ros

OUTPUTS = {
    "score": Image,
    "coarse_score": Image,
    "mask": Image,
    "overlay": Image,
    "obstacles": ObstacleArray,
    "points": PointCloud2,
    "status": RefinementStatus,
}


@pytest.fixture(scope="module")
def domain():
    return next_domain()


@pytest.fixture(scope="module")
def plain(domain):
    """A node with obstacles of the redness detector, and no masks until they are asked for."""
    node = g.NodeProcess(
        domain,
        **{
            "refine.every_n": 0,
            "refine.propagation": "hold",
            "refine.max_age_s": 1000.0,
            "queue_size": 50,
        },
    )
    node.wait_log("active on cpu")
    yield node
    node.close()


@pytest.fixture(scope="module")
def around(domain):
    graph = g.Graph(domain)
    yield graph
    graph.close()


@pytest.fixture
def graph(around):
    yield around
    around.forget()


@pytest.fixture
def start():
    """Starts nodes and graphs in a domain of their own."""
    closing = []

    def go(*arguments, active=True, **parameters):
        own = next_domain()
        node = g.NodeProcess(own, *arguments, **parameters)
        closing.append(node)
        if active:
            node.wait_log("active on")
        around = g.Graph(own)
        closing.append(around)
        return node, around

    yield go
    for thing in reversed(closing):
        thing.close()


CLOCK = itertools.count(1000, 10)


def publish(graph, count, until, topic="/image", **fields):
    """Publish pictures, each after the node's answer to the one before; return their stamps.

    Args:
        until: list of messages that gets one of every picture.
    """
    publisher, first = graph.publisher(topic), next(CLOCK)
    sent = [g.image_message(first + k / 10, **fields) for k in range(count)]
    for index, message in enumerate(sent):
        publisher.publish(message)
        (stamp,) = g.stamps([message])
        g.wait_for(lambda stamp=stamp: stamp in g.stamps(until), f"picture {index}")
    return g.stamps(sent)


def of_images(statuses):
    """Leave out those that tell why there are no results."""
    return [status for status in statuses if np.isfinite(status.latency)]


def test_every_image_gets_one_of_each_output_with_its_own_header(plain, graph):
    got = {name: graph.listen(kind, f"{g.NODE}/{name}") for name, kind in OUTPUTS.items()}
    info = graph.publisher("/camera_info", CameraInfo)
    info.publish(g.camera_info())
    g.wait_for(lambda: publish(graph, 1, got["status"]) and got["points"], "the camera's pose")
    sent = publish(graph, 30, got["status"])
    for name, messages in got.items():
        g.wait_for(lambda messages=messages: sent[-1] in g.stamps(messages), name)
    time.sleep(0.3)  # for more than one of each
    got = {
        name: [m for m in messages if g.stamps([m])[0] >= sent[0]] for name, messages in got.items()
    }
    for name, messages in got.items():
        assert g.stamps(messages) == sent, name
        frame = "base_link" if name == "points" else "camera"
        assert {message.header.frame_id for message in messages} == {frame}, name
    _check_contents(got)


def _check_contents(got):
    coarse = g.array_of(got["coarse_score"][0])
    red, rest = 235 / 255, 0.0
    assert coarse[35, 35] == pytest.approx(red)
    assert coarse[5, 5] == rest
    np.testing.assert_array_equal(g.array_of(got["score"][0]), coarse)
    mask = g.array_of(got["mask"][0])
    np.testing.assert_array_equal(mask, coarse > 0.5)
    overlay = g.array_of(got["overlay"][0])
    assert overlay.shape == (60, 80, 3)
    obstacles = got["obstacles"][-1]
    assert (obstacles.width, obstacles.height, obstacles.refined) == (80, 60, False)
    (obstacle,) = obstacles.obstacles
    box = obstacle.box
    assert (box.x_offset, box.y_offset, box.width, box.height) == (30, 30, 12, 12)
    assert obstacle.area == 144
    assert obstacle.score == pytest.approx(red)
    assert [array.obstacles[0].age - obstacle.age for array in got["obstacles"]] == [*range(-29, 1)]
    assert {array.obstacles[0].id for array in got["obstacles"]} == {obstacle.id}
    # 1.5 m above the ground, 80 px focal length: row 41 is 21 px below the horizon.
    assert obstacle.range == pytest.approx(1.5 * 80 / 21, rel=0.03)
    assert obstacle.position.x == pytest.approx(1.5 * 80 / 21, rel=0.03)
    cloud = got["points"][0]
    points = np.frombuffer(
        cloud.data,
        [("x", "f4"), ("y", "f4"), ("z", "f4"), ("intensity", "f4"), ("id", "u4"),
         ("range_std", "f4")],
    )  # fmt: skip
    assert [field.name for field in cloud.fields] == ["x", "y", "z", "intensity", "id", "range_std"]
    assert len(points) == cloud.width == 12 * 8  # its upper border is seen 0.82 m high
    np.testing.assert_allclose(np.unique(points["z"]), [k / 10 for k in range(1, 9)], rtol=1e-6)
    assert set(points["id"]) == {obstacle.id}
    status = got["status"][-1]
    assert not status.refined
    assert status.mask_age_frames == -1
    assert np.isnan(status.mask_age)
    assert status.frames_scored == status.frames_received - status.frames_rejected
    assert 0 < status.coarse_time <= status.latency


def test_masks_are_made_on_request_and_refine_from_then_on(plain, graph):
    scores = graph.listen(Image, f"{g.NODE}/score")
    coarse = graph.listen(Image, f"{g.NODE}/coarse_score")
    statuses = graph.listen(RefinementStatus, f"{g.NODE}/status")
    g.wait_for(lambda: graph.refine().success, "somebody who listens")
    publish(graph, 1, statuses)
    g.wait_for(
        lambda: publish(graph, 1, statuses) and statuses[-1].refined, "masks that were asked for"
    )
    g.wait_for(lambda: len(scores) == len(of_images(statuses)) == len(coarse), "all")
    assert g.stamps(scores) == g.stamps(coarse)
    assert statuses[-1].mask_count == 4
    assert statuses[-1].mask_age_frames >= 1
    assert statuses[-1].mask_generation_time > 0
    refined, plainly = g.array_of(scores[-1]), g.array_of(coarse[-1])
    band = plainly[30:45].mean()  # the third of four bands, away from its edges
    assert refined[37, 5] == pytest.approx(band, rel=1e-4)
    assert plainly[37, 5] == 0.0


@pytest.mark.parametrize("case", [case for case in MALFORMED if "compressed" not in case])
def test_a_malformed_image_is_named_and_skipped_and_the_node_lives_on(plain, graph, case):
    bad, _ = MALFORMED[case]
    coarse = graph.listen(Image, f"{g.NODE}/coarse_score")
    publisher = graph.publisher("/image")
    bad.header.stamp.sec = next(CLOCK)
    time.sleep(0.05)
    publisher.publish(bad)
    sent = publish(graph, 1, coarse)
    assert g.stamps(coarse) == sent
    assert plain.process.poll() is None


def test_images_of_ten_bits_are_scored_as_those_of_eight_with_one_warning(plain, graph):
    coarse = graph.listen(Image, f"{g.NODE}/coarse_score")
    pixels = g.picture().astype(np.uint16) << 2
    publish(graph, 3, coarse, pixels=pixels, encoding="rgb16")
    assert g.array_of(coarse[-1])[35, 35] == pytest.approx(235 / 255)
    warnings = [line for line in plain.lines if "images on /image: of their 16 bits" in line]
    assert len(warnings) == 1


def test_malformed_images_are_logged_with_their_topic_throttled_and_counted(plain, graph):
    def malformed():
        _, _, values = graph.diagnostics()["objectomaly: camera"]
        return int(values["images malformed"])

    bad, _ = MALFORMED["step of zero"]
    publisher, before = graph.publisher("/image"), malformed()
    for _ in range(10):
        bad.header.stamp.sec = next(CLOCK)
        publisher.publish(bad)
    g.wait_for(lambda: malformed() == before + 10, "ten malformed images to be counted")
    warnings = [line for line in plain.lines if "an image on /image is skipped: " in line]
    assert 1 <= len(warnings) < before + 10
    assert "Traceback" not in plain.log


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("threshold.high", "high", "it must be a number"),
        ("refine.every_n", -3, ""),
        ("refine.propagation", "flaw", "allowed are flow, hold, none"),
        ("mask_value", 255, ""),
        ("roi.polygon", [0.5, 0.5], "at least 3 corners"),
        ("roi.mode", "lane", "allowed are none, road, polygon"),
        ("threshold.low", 0.9, "must not be above threshold.high, which is 0.5"),
        ("tracking.min_iou", 7.0, ""),
        ("min_area", None, "has no value"),
        ("detector.name", "rba", "read-only"),
        ("device", "cuda", "read-only"),
        ("masks.checkpoint", "/x", "read-only"),
    ],
)
def test_a_wrong_value_at_run_time_is_refused_with_the_reason(plain, graph, name, value, reason):
    (before,) = graph.get(name)
    answer = graph.set(name, value)
    assert not answer.successful
    assert reason in answer.reason
    assert answer.reason
    (after,) = graph.get(name)
    assert str(after) == str(before)  # as text: NaN is not equal to itself


def test_parameters_are_described_with_their_ranges(plain, graph):
    queue, high, mode, detector = graph.describe(
        "queue_size", "threshold.high", "roi.mode", "detector.name"
    )
    assert queue.integer_range[0].to_value == 100
    assert "obstacle" in high.description
    assert "none, road, polygon" in mode.additional_constraints
    assert detector.read_only
    assert not high.read_only


@pytest.mark.parametrize("topic", ["/image", "/camera_info"])
def test_bytes_that_are_no_message_are_told_by_topic_and_the_node_lives(plain, graph, topic):
    statuses = graph.listen(RefinementStatus, f"{g.NODE}/status")
    kind, whole = (
        (Image, g.image_message(1)) if topic == "/image" else (CameraInfo, g.camera_info())
    )
    publisher, data = graph.publisher(topic, kind), serialize_message(whole)
    for bad in (data[: len(data) // 2], data[:10], data[:4] + bytes(8) + b"\xff" * 50):
        publisher.publish(bad)
    plain.wait_log(f"a message on {topic} is skipped: it is damaged, or of another definition")
    publish(graph, 3, statuses)
    (_, _, values) = graph.diagnostics()["objectomaly: camera"]
    assert int(values["messages unreadable"]) > 0
    assert plain.process.poll() is None
    assert "exception in" not in plain.log
    assert "error state is being overwritten" not in plain.log


def test_a_whole_number_keeps_the_type_and_a_far_threshold_is_warned_of(plain, graph):
    publish(graph, 12, graph.listen(RefinementStatus, f"{g.NODE}/status"))
    assert graph.set("threshold.high", 7).successful
    (value,) = graph.get("threshold.high")
    assert (value.type, value.double_value) == (ParameterType.PARAMETER_DOUBLE, 7.0)
    plain.wait_log("threshold.high is 7, but scores so far were 0 to 0.")
    assert graph.set("threshold.high", float("nan")).successful
    assert graph.set("roi.polygon", [0, 1, 0, 0, 1, 0]).successful
    (value,) = graph.get("roi.polygon")
    assert value.type == ParameterType.PARAMETER_DOUBLE_ARRAY
    assert graph.set("roi.polygon", []).successful  # the default


def test_thresholds_and_mask_value_change_at_once(plain, graph):
    masks = graph.listen(Image, f"{g.NODE}/mask")
    time.sleep(0.2)

    def newest():
        publish(graph, 1, masks)
        return g.array_of(masks[-1])

    assert newest().max() == 1
    assert graph.set("mask_value", 200).successful
    assert newest().max() == 200
    assert graph.set("threshold.high", 1).successful  # a whole number is a number
    assert newest().max() == 0
    assert graph.set("threshold.high", float("nan")).successful
    assert graph.set("mask_value", 1).successful
    assert newest().max() == 1
    assert graph.set("roi.mode", "polygon").successful
    assert set(np.unique(newest())) == {0, 1, 255}
    assert graph.set("roi.mode", "none").successful


def test_without_images_the_status_says_so_and_nothing_else_is_published(plain, graph):
    got = {name: graph.listen(kind, f"{g.NODE}/{name}") for name, kind in OUTPUTS.items()}
    info = graph.publisher("/camera_info", CameraInfo)
    statuses = got["status"]

    def newest():
        info.publish(g.camera_info())
        publish(graph, 1, statuses)
        return of_images(statuses)[-1]

    g.wait_for(lambda: newest().healthy, "a healthy camera")
    assert newest().problem == ""
    for name, messages in got.items():
        g.wait_for(lambda messages=messages: g.stamps(messages), name)
    time.sleep(0.3)
    sent, seen = g.stamps(of_images(statuses))[-1], len(statuses)
    others = {name: len(messages) for name, messages in got.items() if name != "status"}
    g.wait_for(lambda: len(statuses) >= seen + 2, "statuses without an image")
    for status in statuses[seen:]:
        assert not status.healthy
        assert re.fullmatch(r"no image on /image for [2-9]\.\d s", status.problem)
        assert g.stamps([status]) == [sent]
        assert np.isnan(status.latency)
        assert status.frames_scored > 0
    assert {name: len(messages) for name, messages in got.items() if name != "status"} == others
    assert newest().healthy


def test_nothing_is_made_that_nobody_listens_to(plain, graph):
    refused = graph.refine()
    assert not refused.success
    assert "nobody listens" in refused.message
    coarse = graph.listen(Image, f"{g.NODE}/coarse_score")
    _, _, before = graph.diagnostics()["objectomaly: camera"]
    publish(graph, 3, coarse)
    _, _, after = graph.diagnostics()["objectomaly: camera"]
    assert int(after["images scored"]) - int(before["images scored"]) == 3
    assert after["images refined"] == before["images refined"]


def test_a_bag_that_loops_is_survived_with_one_line(plain, graph):
    coarse = graph.listen(Image, f"{g.NODE}/coarse_score")
    publisher = graph.publisher("/image")
    before = plain.log.count("went back")
    start = next(CLOCK)
    sent = [g.image_message(start + k / 2) for _ in range(2) for k in range(5)]
    for index, message in enumerate(sent):
        publisher.publish(message)
        g.wait_for(lambda index=index: len(coarse) == index + 1, f"picture {index}")
    assert g.stamps(coarse) == g.stamps(sent)
    g.wait_for(lambda: plain.log.count("went back") > before, "the line")
    assert plain.log.count("went back") == before + 1


def test_diagnostics_tell_health(plain, graph):
    coarse = graph.listen(Image, f"{g.NODE}/coarse_score")
    publish(graph, 5, coarse)
    reports = graph.diagnostics()
    level, message, values = reports["objectomaly"]
    assert level == DiagnosticStatus.OK[0]
    assert values["device"] == "cpu"
    assert values["last error"] == "none"
    level, message, values = reports["objectomaly: camera"]
    assert float(values["CAS latency p95 (ms)"]) >= float(values["CAS latency p50 (ms)"]) > 0
    assert values["topic"] == "/image"
    assert {"rate in (Hz)", "images dropped"} <= values.keys()
    time.sleep(2.2)
    level, message, _ = graph.diagnostics()["objectomaly: camera"]
    assert level == DiagnosticStatus.WARN[0]
    assert "images arrived until" in message
    assert "publishers on /image now: 1" in message


def test_a_reliable_override_that_does_not_match_is_explained(start):
    node, graph = start(
        **{"qos_overrides./image.subscription.reliability": "reliable", "masks.name": "none"}
    )
    graph.node.create_publisher(Image, "/image", g.qos_profile_sensor_data)
    node.wait_log("a publisher on /image offers incompatible QoS (RELIABILITY)")
    node.wait_log("qos_overrides./image.subscription.reliability")


def test_diagnostics_name_the_node_in_full_and_the_topic_to_remap(start):
    node, graph = start(
        "-r", "__ns:=/car", "-r", "__node:=watcher", active=False,
        camera_names="[rear]", **{"masks.name": "none"},
    )  # fmt: skip
    node.wait_log("active on")
    graph.node.create_publisher(Image, "/camera/camera/color/image_raw", 10)
    g.wait_for(
        lambda: (
            "/camera/camera/color/image_raw" in graph.diagnostics()["car/watcher: camera rear"][1]
        ),
        "the hint",
    )
    _, message, values = graph.diagnostics()["car/watcher: camera rear"]
    assert message.startswith("nobody publishes on /car/rear/image: remap rear/image to yours (")
    assert "watcher/rear/score" not in message
    assert values["topic"] == "/car/rear/image"
    assert "car/watcher" in graph.diagnostics()


def test_one_node_serves_many_cameras(start):
    _, graph = start(camera_names="[front, left]", **{"masks.name": "none"})
    front = graph.listen(Image, f"{g.NODE}/front/score")
    left = graph.listen(Image, f"{g.NODE}/left/score")
    obstacles = graph.listen(ObstacleArray, f"{g.NODE}/left/obstacles")
    sent_front = publish(graph, 5, front, "/front/image", frame_id="front_optical")
    sent_left = publish(
        graph, 3, obstacles, "/left/image", pixels=g.picture(x=50), frame_id="left_optical"
    )
    g.wait_for(lambda: (len(front), len(left), len(obstacles)) == (5, 3, 3), "both cameras")
    assert (g.stamps(front), g.stamps(left)) == (sent_front, sent_left)
    assert left[0].header.frame_id == "left_optical"
    assert obstacles[0].obstacles[0].box.x_offset == 50
    assert {"objectomaly: camera front", "objectomaly: camera left"} <= graph.diagnostics().keys()


def test_compressed_images_on_the_remapped_topic(start):
    node, graph = start(
        "-r", "image:=/rig/image_raw", image_transport="compressed", **{"masks.name": "none"}
    )
    coarse = graph.listen(Image, f"{g.NODE}/coarse_score")
    publisher = graph.publisher("/rig/image_raw/compressed", CompressedImage)
    for case, (bad, _) in MALFORMED.items():
        if "compressed" in case:
            bad.header.stamp.sec = 1
            publisher.publish(bad)
            time.sleep(0.05)
    publisher.publish(g.compressed_message(5, jpeg(smooth())))
    g.wait_for(lambda: len(coarse) == 1, "the good image after them")
    assert coarse[0].header.stamp.sec == 5
    assert g.array_of(coarse[0]).shape == (48, 64)
    assert "an image on /rig/image_raw/compressed is skipped" in node.log


def test_a_detector_that_fails_and_one_without_threshold(start):
    node, graph = start(
        **{
            "detector.name": "simple_models:MoodyDetector",
            "masks.name": "simple_models:FailingMasks",
        }
    )
    scores = graph.listen(Image, f"{g.NODE}/score")
    green = g.picture()
    green[0, 0] = 0, 255, 0
    graph.publisher("/image").publish(g.image_message(next(CLOCK), green))
    node.wait_log("the detector failed: RuntimeError: green makes me fail")
    sent = publish(graph, 5, scores)
    assert g.stamps(scores) == sent
    node.wait_log("no masks today; scores stay coarse")
    assert "no masks today" in graph.diagnostics()["objectomaly"][2]["last error"]


def test_a_detector_that_hangs_is_an_error_and_is_replaced(start):
    node, graph = start(**{"detector.name": "simple_models:HangingDetector", "masks.name": "none"})
    coarse = graph.listen(Image, f"{g.NODE}/coarse_score")
    publish(graph, 2, coarse)
    graph.diagnostics()
    green = g.picture()
    green[0, 0] = 0, 255, 0
    graph.publisher("/image").publish(g.image_message(next(CLOCK), green))
    began, level = time.monotonic(), b""
    while level != DiagnosticStatus.ERROR[0]:
        level, message, _ = graph.diagnostics()["objectomaly"]
        assert time.monotonic() - began < 60, message
    assert "the detector has taken" in message
    node.wait_log("the scoring thread is started again")
    publish(graph, 2, coarse)
    level, message, values = graph.diagnostics()["objectomaly"]
    assert level == DiagnosticStatus.WARN[0]
    assert "is started again" in values["last error"]
    assert len(coarse) == 4


def test_a_detector_without_a_threshold_publishes_scores_only(start):
    node, graph = start(
        **{"detector.name": "simple_models:NoThresholdDetector", "masks.name": "none"}
    )
    node.wait_log("no threshold and threshold.high is not set")
    scores = graph.listen(Image, f"{g.NODE}/score")
    masks = graph.listen(Image, f"{g.NODE}/mask")
    overlays = graph.listen(Image, f"{g.NODE}/overlay")
    publish(graph, 2, scores)
    assert masks == []
    g.wait_for(lambda: len(overlays) == 2, "pictures for people all the same")
    assert graph.set("threshold.high", 200.0).successful
    publish(graph, 1, scores)
    g.wait_for(lambda: len(masks) == 1, "a mask once there is a threshold")
    assert g.array_of(masks[0]).sum() == 144
