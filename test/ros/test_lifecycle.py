"""Start, failure, and end of the real node."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from domains import next_domain

pytest.importorskip(
    "rclpy", reason="the node needs rclpy and built messages: run under scripts/env"
)

import graph as g
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from objectomaly_ros.msg import RefinementStatus
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import String

pytestmark = pytest.mark.ros


@pytest.fixture
def start():
    closing = []

    def go(*arguments, **parameters):
        domain = next_domain()
        node = g.NodeProcess(domain, *arguments, **parameters)
        closing.append(node)
        return node

    def around(node_domain=None):
        graph = g.Graph(node_domain)
        closing.append(graph)
        return graph

    def both(*arguments, **parameters):
        domain = next_domain()
        node = g.NodeProcess(domain, *arguments, **parameters)
        closing.append(node)
        return node, around(domain)

    go.both = both
    yield go
    for thing in reversed(closing):
        thing.close()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"detector.name": "embeded"}, "unknown detector 'embeded'; known: "),
        ({"detector.name": "no_such_module:Net"}, "No module named 'no_such_module'"),
        ({"masks.name": "sam_vit_x"}, "unknown mask generator 'sam_vit_x'"),
        ({"masks.options": "['colour=red']"}, "BandMasks has no option colour"),
        ({"masks.options": "['bands=four']"}, "BandMasks: option bands is 'four'; want a number"),
        ({"detector.options": "['seconds=']"}, "option seconds is None; want a number"),
        ({"threshold.low": "0.9"}, "threshold.low is 0.9; it must not be above threshold.high"),
        ({"device": "cuda:99"}, "cuda"),
        ({"detector.name": "simple_models:Exits"}, "SystemExit: wrong arguments"),
        ({"detector.name": "simple_models:Interrupts"}, "KeyboardInterrupt"),
    ],
)
def test_what_cannot_work_fails_configure_with_the_reason_and_the_node_lives(
    start, parameters, message
):
    node = start(**parameters)
    node.wait_log("configure failed: ")
    (line,) = [line for line in node.lines if "configure failed" in line]
    assert message in line
    assert "ros2 lifecycle set /objectomaly configure" in line
    assert node.process.poll() is None
    assert "Traceback" not in node.log


def test_all_wrong_values_at_start_are_named_at_once(start):
    node = start(
        **{
            "queue_size": "0",
            "refine.every_n": "2.5",
            "threshold.high": "high",
            "camera_names": "['front camera']",
            "mask_value": "255",
            "roi.polygon": "[0.1, 0.2]",
            "masks.overlap": "widest",
        }
    )
    node.wait_log("configure failed: ")
    (line,) = [line for line in node.lines if "configure failed" in line]
    for words in (
        "queue_size",
        "refine.every_n is 2.5; it must be a whole number",
        "threshold.high is 'high'; it must be a number",
        "camera_names holds 'front camera'",
        "mask_value",
        "roi.polygon: a polygon needs at least 3 corners",
        "masks.overlap is 'widest'; allowed are auto, largest, smallest",
    ):
        assert words in line
    assert node.process.poll() is None


def test_parameters_without_effect_are_warned_of(start, tmp_path):
    file = tmp_path / "old.yaml"
    file.write_text(
        "/**:\n  ros__parameters:\n    masks: {residual: 0.5, overlap: largest}\n"
        "    use_sim_time: false\n    start_type_description_service: false\n"
        "    qos_overrides: {/image: {subscription: {depth: 20}}}\n    refine: {evry_n: 3}\n"
    )
    node = start("--params-file", str(file))
    node.wait_log("active on")
    warned = [line for line in node.lines if "has no effect" in line]
    assert len(warned) == 2
    assert "masks.residual has no effect, it was removed" in node.log
    assert "refine.evry_n has no effect, the node has no such parameter; did you mean" in node.log


def test_empty_lists_and_whole_numbers_of_a_parameter_file_keep_their_types(start, tmp_path):
    file = tmp_path / "empty.yaml"
    file.write_text(
        "/**:\n  ros__parameters:\n    camera_names: []\n    detector: {options: []}\n"
        "    masks: {options: []}\n    roi: {polygon: []}\n    threshold: {high: 1}\n"
    )
    node, graph = start.both("--params-file", str(file))
    node.wait_log("active on")
    names = ("camera_names", "detector.options", "masks.options", "roi.polygon", "threshold.high")
    assert [value.type for value in graph.get(*names)] == [
        *[ParameterType.PARAMETER_STRING_ARRAY] * 3,
        ParameterType.PARAMETER_DOUBLE_ARRAY,
        ParameterType.PARAMETER_DOUBLE,
    ]
    g.wait_for(lambda: graph.node.count_subscribers("/image") == 1, "the only camera")


@pytest.mark.parametrize(
    ("key", "arguments", "applies"),
    [
        ("objectomaly", ["-r", "__ns:=/car"], False),
        ("/objectomaly", ["-r", "__node:=watcher"], False),
        ("car: {objectomaly", ["-r", "__ns:=/car"], True),
        ("/*/objectomaly", ["-r", "__ns:=/car"], True),
    ],
)
def test_a_parameter_file_of_another_node_is_told(start, tmp_path, key, arguments, applies):
    file = tmp_path / "mine.yaml"
    file.write_text(f"{key}: {{ros__parameters: {{min_area: 7}}}}{'}' * key.count('{')}\n")
    node = start(*arguments, "--params-file", str(file), **{"masks.name": "none"})
    node.wait_log("active on")
    assert (f"{file} sets no parameter of /" in node.log) is not applies


def test_classes_with_nothing_but_score_and_generate_work(start):
    """As the README promises; options in any spelling of a number."""
    node = start(
        **{"detector.name": "simple_models:OnlyScore", "masks.name": "simple_models:OnlyMasks"}
    )
    node.wait_log("active on")
    assert "failed" not in node.log


def test_a_missing_checkpoint_leaves_the_node_unconfigured_with_an_error_in_diagnostics(start):
    node, graph = start.both(
        **{"detector.name": "embedded", "detector.checkpoint": "/nowhere/net.safetensors"}
    )
    node.wait_log("configure failed: ")
    assert graph.state() == "unconfigured"
    level, message, _ = graph.diagnostics()["objectomaly"]
    assert level == DiagnosticStatus.ERROR[0]
    assert "/nowhere/net.safetensors" in message
    refused = graph.refine()
    assert not refused.success
    assert "unconfigured" in refused.message
    assert not graph.change(Transition.TRANSITION_CONFIGURE)
    assert graph.state() == "unconfigured"


def test_a_wrong_parameter_at_start_can_be_put_right(start):
    node, graph = start.both(**{"refine.propagation": "flaw", "masks.name": "none"})
    node.wait_log("configure failed: refine.propagation is 'flaw'")
    assert graph.set("refine.propagation", "hold").successful
    assert graph.change(Transition.TRANSITION_CONFIGURE)
    assert graph.change(Transition.TRANSITION_ACTIVATE)
    assert graph.state() == "active"


def test_the_whole_life_of_a_node(start):
    node, graph = start.both(autostart="false")
    assert graph.state() == "unconfigured"
    for _ in range(2):
        assert graph.change(Transition.TRANSITION_CONFIGURE)
        assert graph.state() == "inactive"
        assert graph.node.count_subscribers("/image") == 0
        for _ in range(2):
            assert graph.change(Transition.TRANSITION_ACTIVATE)
            scores = graph.listen(Image, f"{g.NODE}/score")
            publisher = graph.node.create_publisher(Image, "/image", 10)
            g.wait_for(publisher.get_subscription_count, "the node's subscription")
            g.wait_for(
                lambda p=publisher, s=scores: p.publish(g.image_message(time.time())) or s,
                "a score",
            )
            assert graph.change(Transition.TRANSITION_DEACTIVATE)
            g.wait_for(lambda: graph.node.count_subscribers("/image") == 0, "an end")
            graph.node.destroy_publisher(publisher)
            graph.forget()
        assert graph.change(Transition.TRANSITION_CLEANUP)
        assert graph.state() == "unconfigured"
    assert graph.change(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert graph.state() == "finalized"
    code, took = node.interrupt()
    assert code == 0
    assert took < 2.0


@pytest.mark.parametrize(
    ("transition", "problem"),
    [
        (Transition.TRANSITION_DEACTIVATE, "the node was deactivated"),
        (Transition.TRANSITION_ACTIVE_SHUTDOWN, "the node was shut down"),
    ],
)
def test_the_last_status_says_that_the_node_is_no_longer_active(start, transition, problem):
    node, graph = start.both(**{"masks.name": "none"})
    node.wait_log("active on")
    statuses = graph.listen(RefinementStatus, f"{g.NODE}/status")
    points = graph.listen(PointCloud2, f"{g.NODE}/points")
    g.wait_for(lambda: statuses, "a status before the first image")
    assert statuses[-1].problem == "no image on /image yet"
    publisher = graph.publisher("/image")
    g.wait_for(
        lambda: publisher.publish(g.image_message(time.time())) or statuses[-1].frames_scored,
        "the status of an image",
    )
    assert not statuses[-1].healthy  # somebody listens to ~/points
    assert statuses[-1].problem == "no CameraInfo on /camera_info yet"
    assert graph.change(transition)
    g.wait_for(lambda: statuses[-1].problem == problem, "the last status")
    seen = len(statuses)
    assert not statuses[-1].healthy
    assert statuses[-1].header.stamp.sec > 0
    time.sleep(1.5)  # longer than the period of such statuses
    assert (len(statuses), points) == (seen, [])


@pytest.mark.parametrize("fails", [False, True])
def test_while_models_load_everything_else_is_answered(start, tmp_path, fails):
    file = tmp_path / "loaded"
    options = f"['path={file}', 'fails={str(fails).lower()}']"
    node, graph = start.both(
        autostart="false",
        **{"detector.name": "simple_models:WaitsForFile", "detector.options": options},
    )
    configured = graph.ask_change(Transition.TRANSITION_CONFIGURE)
    node.wait_log("loading detector")
    activated = graph.ask_change(Transition.TRANSITION_ACTIVATE)
    for _ in range(3):
        level, message, _ = graph.diagnostics()["objectomaly"]
        assert level == DiagnosticStatus.OK[0]
        assert message.startswith("configuring: loading detector simple_models:WaitsForFile")
        assert graph.set("min_area", 9).successful
        assert not graph.refine().success
    assert graph.state() == "unconfigured"  # it is not yet configured
    assert not configured.done()
    assert not activated.done()
    file.touch()
    g.wait_for(lambda: configured.done() and activated.done(), "both transitions")
    assert configured.result().success is not fails
    assert activated.result().success is not fails
    assert graph.state() == ("unconfigured" if fails else "active")
    if fails:
        assert "no weights in the file" in graph.diagnostics()["objectomaly"][1]
    assert "Traceback" not in node.log


# bond/msg/Status is on no package index: std_msgs/String carries its fields. The C code of String
# takes only what has its name and module.
STATUS = """
import json
from std_msgs.msg import Header, String

class Status(String):
    def __init__(self, id, instance_id, active):
        super().__init__(data=json.dumps([id, instance_id, active]))
        self.header = Header()
    heartbeat_period = 0.0

Status.__name__, Status.__module__ = String.__name__, String.__module__
"""


def test_a_lifecycle_manager_gets_heartbeats_while_the_node_is_active(start, tmp_path, monkeypatch):
    (tmp_path / "bond").mkdir()
    (tmp_path / "bond" / "msg.py").write_text(STATUS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    node, graph = start.both(autostart="false", **{"masks.name": "none"})
    beats = graph.listen(String, "/bond")

    def heard():
        return [json.loads(beat.data) for beat in beats]

    assert graph.change(Transition.TRANSITION_CONFIGURE)
    time.sleep(g.SETTLE_S)
    assert heard() == []
    instances = []
    for end in (lambda: graph.change(Transition.TRANSITION_DEACTIVATE), node.interrupt):
        beats.clear()
        assert graph.change(Transition.TRANSITION_ACTIVATE)
        g.wait_for(lambda: len(beats) > 3, "heartbeats")
        assert graph.state() == "active"
        assert end()
        g.wait_for(lambda: not heard()[-1][2], "the end of the bond")
        (instance,) = {instance for _, instance, _ in heard()}
        *alive, last = heard()
        assert all(beat == ["objectomaly", instance, True] for beat in alive)
        assert last == ["objectomaly", instance, False]
        instances.append(instance)
    assert instances[0] != instances[1]
    assert "ERROR" not in node.log


def test_a_node_that_was_stopped_goes_on(start):
    """Ctrl-Z and fg, a debugger, or a suspended computer."""
    node, graph = start.both(**{"masks.name": "none"})
    node.wait_log("active on")
    node.process.send_signal(signal.SIGSTOP)
    time.sleep(1.0)  # longer than any wait of the main thread
    node.process.send_signal(signal.SIGCONT)
    assert graph.state() == "active"
    time.sleep(g.SETTLE_S)
    assert node.process.poll() is None
    assert node.interrupt()[0] == 0


def test_requests_that_make_no_sense_are_refused_and_the_node_goes_on(start):
    node, graph = start.both(autostart="false")
    assert graph.change(Transition.TRANSITION_CONFIGURE)
    for transition in (Transition.TRANSITION_CONFIGURE, 99, Transition.TRANSITION_CLEANUP + 200):
        assert not graph.change(transition)
        assert graph.state() == "inactive"
    wrong = Parameter("refine.every_n", value=3).to_parameter_msg()
    wrong.value.type = 42
    good = Parameter("min_area", value=7).to_parameter_msg()
    request = SetParameters.Request(parameters=[wrong, good])
    refused, done = graph.call(SetParameters, f"{g.NODE}/set_parameters", request).results
    assert not refused.successful
    assert "42" in refused.reason
    assert done.successful
    assert [value.integer_value for value in graph.get("refine.every_n", "min_area")] == [10, 7]
    assert graph.change(Transition.TRANSITION_ACTIVATE)
    assert graph.state() == "active"
    assert graph.diagnostics()["objectomaly"][0] == DiagnosticStatus.OK[0]
    assert "Traceback" not in node.log
    assert node.interrupt()[0] == 0


@pytest.mark.parametrize(
    ("moment", "parameters", "sign"),
    [
        ("loading detector", {"detector.name": "simple_models:SlowToLoad"}, signal.SIGINT),
        ("loading mask", {"masks.name": "simple_models:SlowToLoadMasks"}, signal.SIGINT),
        ("active on", {}, signal.SIGINT),
        ("active on", {}, signal.SIGTERM),
    ],
)
def test_a_signal_ends_the_node_within_two_seconds(start, moment, parameters, sign):
    node = start(**parameters)
    node.wait_log(moment)
    time.sleep(0.3)
    code, took = node.interrupt(sign)
    assert code == 0
    assert took < 2.0
    assert "Traceback" not in node.log


def test_a_signal_in_the_middle_of_work_ends_the_node_and_its_mask_process(start):
    node, graph = start.both(
        **{"masks.name": "simple_models:BurningMasks", "refine.every_n": 1,
           "masks.options": "['seconds=30']"}
    )  # fmt: skip
    scores = graph.listen(Image, f"{g.NODE}/score")
    publisher = graph.publisher("/image")
    for k in range(8):
        publisher.publish(g.image_message(10 + k / 10))
        time.sleep(0.05)
    g.wait_for(lambda: scores, "a score")
    children = _children(node.process.pid)
    assert children
    code, took = node.interrupt()
    assert code == 0
    assert took < 2.0
    assert "Traceback" not in node.log
    g.wait_for(lambda: not any(map(_alive, children)), "the end of the mask process")


def test_a_signal_while_python_still_imports(start):
    for delay in (0.15, 0.4, 0.8):
        node = start()
        time.sleep(delay)
        code, _ = node.interrupt()
        # before main() it is Python's own: there it may end by the signal itself
        assert code in (0, -signal.SIGINT, 1)
        if code == 0:
            assert "Traceback" not in node.log


def test_wrong_ros_arguments_are_said_in_a_line(start, tmp_path):
    node = start("--params-file", str(tmp_path / "missing.yaml"))
    assert node.process.wait(timeout=60) == 2
    g.wait_for(lambda: "refine_node: " in node.log, "a message")
    assert "missing.yaml" in node.log
    assert "Traceback" not in node.log


def _children(pid):
    listing = os.popen(f"ps -o pid= --ppid {pid}").read()
    return [int(word) for word in listing.split()]


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_node_without_standard_streams_ends_as_others_do():
    command = [sys.executable, "-m", "objectomaly_ros.ros.refine_node", "--ros-args"]
    values = ["-p", "masks.name:=none", "-p", "detector.name:=precomputed"]
    node = subprocess.Popen(
        ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *command, *values],
        env={**os.environ, "ROS_DOMAIN_ID": str(next_domain())},
    )
    time.sleep(3)
    node.send_signal(signal.SIGTERM)
    assert node.wait(60) == 0
