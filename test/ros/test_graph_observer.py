"""`objectomaly doctor --graph` on real graphs that have each fault, and on a healthy one."""

import itertools
import json
import time

import pytest
from domains import next_domain

pytest.importorskip("rclpy", reason="graphs need rclpy: run under scripts/env")

import graph as g
from faulty_graph import FaultyGraph
from objectomaly_ros.msg import RefinementStatus
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

from objectomaly_ros.cli.main import main

pytestmark = pytest.mark.ros

DOMAIN = next_domain()
SECONDS = 3.0


def doctor(capsys, domain, *arguments):
    """Run the command; return its exit code and its document."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(domain))
        code = main(["doctor", "--graph", "--seconds", str(SECONDS), "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


@pytest.fixture
def graph():
    made = FaultyGraph(DOMAIN)
    yield made
    made.close()


def expect(document, level, subject, *words):
    """Find the finding that says all words."""
    found = [
        f
        for f in document["findings"]
        if f["subject"] == subject and all(word in f["found"] + f["remedy"] for word in words)
    ]
    assert found, json.dumps(document["findings"], indent=1)
    assert {f["level"] for f in found} == {level}
    assert level == "ok" or all(f["remedy"] for f in found)


def expect_none_of(document, *levels):
    assert [f for f in document["findings"] if f["level"] in levels and f["area"] != "ROS"] == []


def test_faults_of_cameras(graph, capsys):
    """Without our node, every image topic is looked at."""
    steps = itertools.cycle([0.0, 0.5, 0.2])

    def no_calibration(info):
        info.k = [0.0] * 9

    def wide(info):
        info.width = 160

    def odd_lens(info):
        info.distortion_model, info.d = "my_lens", [0.1] * 5

    def other_frame(info):
        info.header = type(info.header)(stamp=info.header.stamp, frame_id="other")

    def late(info):
        header = type(info.header)(frame_id="camera")
        header.stamp.sec = info.header.stamp.sec
        header.stamp.nanosec = 500_000  # images are stamped in whole milliseconds
        info.header = header

    graph.camera("zero", lambda: 0, no_calibration)
    graph.camera("still", lambda: 1e9, wide)
    graph.camera("back", lambda: time.time() + next(steps), odd_lens)
    graph.camera("old", lambda: time.time() - 1e7, other_frame)
    graph.camera("odd", encoding="YUV_IR", info=late)
    graph.camera("short", step=3)
    graph.camera("twice")
    graph.camera("twice")
    graph.node("silent_driver").create_publisher(Image, "/silent/image", 10)
    code, document = doctor(capsys, DOMAIN)
    assert code == 1
    assert not document["ok"]
    assert document["errors"] == sum(f["level"] == "error" for f in document["findings"])
    expect(document, "error", "/objectomaly", "no node has this name", "refine.launch.py")
    expect(document, "error", "stamps of /zero/image", "are all 0", "--stamps-from-log")
    expect(document, "error", "stamps of /still/image", "stand still at 1000000000.000")
    expect(document, "warning", "stamps of /back/image", "go back", "by up to 0.")
    expect(document, "error", "stamps of /old/image", "115.7 days behind", "use_sim_time")
    expect(document, "ok", "stamps of /twice/image")
    expect(document, "error", "/odd/image", "'YUV_IR' is not supported", "bgr8")
    expect(document, "error", "/short/image", "step")
    expect(document, "warning", "/twice/image", "2 publishers")
    expect(document, "error", "/silent/image", "no image", "/silent_driver publishes")
    expect(document, "error", "/zero/camera_info", "not calibrated", "camera_info_url")
    expect(document, "error", "/still/camera_info", "80 x 60 are no smaller copy of the 160 x 60")
    expect(document, "error", "/back/camera_info", "'my_lens' is not known")
    expect(document, "warning", "/old/camera_info", "'other', that of the images 'camera'")
    expect(document, "warning", "/odd/camera_info", "none of its stamps")
    expect(document, "warning", "/twice/camera_info", "nobody publishes here", "remap camera_info")


def test_a_node_that_waits_on_another_topic(graph, capsys):
    graph.stand_in("/camera/image", use_sim_time=True)
    graph.camera("camera/front/left")
    code, document = doctor(capsys, DOMAIN)
    assert code == 1
    expect(document, "ok", "/objectomaly", "active")
    expect(document, "error", "/camera/image", "nobody publishes here; images are on "
           "/camera/front/left/image", "-r image:=/camera/front/left/image")  # fmt: skip
    expect(document, "error", "/clock", "use_sim_time: true, and nobody publishes", "--clock")


def test_a_node_that_is_not_configured(graph, capsys):
    graph.stand_in(state="unconfigured")
    code, document = doctor(capsys, DOMAIN)
    assert code == 1
    expect(document, "error", "/objectomaly", "unconfigured", "ros2 lifecycle set /objectomaly con")
    expect(document, "error", "images", "no image topic is published")


def test_a_node_that_is_not_active_under_another_name(graph, capsys):
    node = graph.stand_in(state="inactive")
    graph.statuses(node)
    code, document = doctor(capsys, DOMAIN, "--node", "wrong")
    assert code == 1
    expect(document, "error", "/wrong", "of this package: /objectomaly", "--node /objectomaly")
    _, document = doctor(capsys, DOMAIN)
    expect(document, "error", "/objectomaly", "is inactive", "activate")


def test_quality_of_service_and_clocks_that_do_not_match(graph, capsys):
    reliable = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
    node = graph.stand_in("/a/image", qos=reliable)
    graph.camera("a")
    graph.statuses(node, healthy=False, problem="the detector hangs")
    graph.diagnostics(node, b"\2", "8 images failed, see the log")
    listener = graph.node("viewer")
    listener.create_subscription(Image, "/a/image", lambda message: None, reliable)
    for name in ("bag", "simulation"):
        player = graph.node(name)
        clock = player.create_publisher(Clock, "/clock", 10)
        graph.every(player, lambda clock=clock: clock.publish(Clock()))
    code, document = doctor(capsys, DOMAIN)
    assert code == 1
    expect(document, "error", "/a/image", "best_effort, which reliable does not take",
           "qos_overrides./a/image.subscription.reliability to best_effort")  # fmt: skip
    expect(document, "error", "/a/image", "offers /viewer reliability", "in RViz")
    expect(document, "error", "/clock", "2 publishers (/bag, /simulation)")
    expect(document, "error", "/clock", "the node has use_sim_time: false", "use_sim_time:=true")
    expect(document, "error", "objectomaly", "8 images failed, see the log")
    expect(document, "error", "scores of /a/image", "must not be acted on: the detector hangs")


def test_compressed_images_beside_a_node_that_wants_raw_ones(graph, capsys):
    graph.stand_in("/b/image")
    graph.node("driver").create_publisher(CompressedImage, "/b/image/compressed", 10)
    code, document = doctor(capsys, DOMAIN)
    assert code == 1
    expect(document, "error", "/b/image", "but /driver on /b/image/compressed", "image_transport")


def test_a_detector_that_is_slower_than_the_camera(graph, capsys):
    node = graph.stand_in("/c/image")
    graph.camera("c")
    graph.statuses(node, scored=1, received=3)
    code, document = doctor(capsys, DOMAIN)
    assert code == 0
    expect(document, "warning", "scores of /c/image", "slower than the camera", "input_size")


def test_transforms(graph, capsys):
    messages = pytest.importorskip("tf2_msgs.msg", reason="tf2_msgs comes with ROS, not from PyPI")
    from geometry_msgs.msg import TransformStamped
    from rclpy.qos import DurabilityPolicy

    def transform(parent, child, turn=(0.0, 0.0, 0.0, 1.0)):
        message = TransformStamped(child_frame_id=child)
        message.header.frame_id = parent
        message.transform.translation.z = 1.5
        rotation = message.transform.rotation
        rotation.x, rotation.y, rotation.z, rotation.w = turn
        return message

    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = graph.node("robot").create_publisher(messages.TFMessage, "/tf_static", latched)
    publisher.publish(
        messages.TFMessage(
            transforms=[
                transform("base_link", "good_optical", (-0.5, 0.5, -0.5, 0.5)),
                transform("base_link", "body", (0.0, 0.0, 0.0, 1.0)),
                transform("map", "alone"),
            ]
        )
    )
    graph.camera("good", frame_id="good_optical", info=lambda info: None)
    graph.camera("body", frame_id="body", info=lambda info: None)
    graph.camera("alone", frame_id="alone")
    graph.camera("gone", frame_id="good_optic")
    code, document = doctor(capsys, DOMAIN)
    assert code == 1
    expect(document, "ok", "TF base_link <- good_optical", "0.00, 0.00, 1.50 m")
    expect(document, "ok", "/good/camera_info")
    expect(document, "error", "/body/camera_info", "If 'body' is a body frame")
    expect(document, "error", "TF base_link <- alone", "alone hangs below map")
    expect(document, "error", "TF base_link <- good_optic", "no frame 'good_optic'", "good_optical")


def test_a_healthy_graph(capsys):
    domain = next_domain()
    node = g.NodeProcess(domain)
    cameras = FaultyGraph(domain)
    try:
        node.wait_log("active on cpu")
        driver = cameras.node("driver")
        images = driver.create_publisher(Image, "/image", 10)
        infos = driver.create_publisher(g.CameraInfo, "/camera_info", 10)

        def publish():
            message = g.image_message(time.time())
            info = g.camera_info()
            info.header = message.header
            images.publish(message)
            infos.publish(info)

        statuses = []
        driver.create_subscription(RefinementStatus, "/objectomaly/status", statuses.append, 10)
        cameras.every(driver, publish)
        g.wait_for(lambda: statuses and statuses[-1].frames_scored > 5, "scores")
        code, document = doctor(capsys, domain)
    finally:
        cameras.close()
        node.close()
    assert code == 0, json.dumps(document["findings"], indent=1)
    assert document["ok"]
    expect_none_of(document, "error")
    expect(document, "ok", "/objectomaly", "active")
    expect(document, "ok", "/image", "80 x 60, rgb8")
    expect(document, "ok", "stamps of /image", "advance")
    expect(document, "ok", "/camera_info", "80 x 60")
    expect(document, "ok", "scores of /image", "every image")
    expect(document, "ok", "QoS", "match")
    expect(document, "warning", "TF base_link <- camera", "nobody publishes TF")
