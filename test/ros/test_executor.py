"""Callbacks that raise, in a real executor."""

import re
import threading
import time
from pathlib import Path

import pytest
from domains import next_domain

pytest.importorskip("rclpy", reason="the executor is rclpy's: run under scripts/env")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from objectomaly_ros.ros.executor import ResilientExecutor
from objectomaly_ros.ros.node import ObjectomalyNode

pytestmark = pytest.mark.ros

PATIENCE_S = 60


def wait_for(condition):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def context():
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=next_domain())
    yield context
    context.try_shutdown()


@pytest.fixture
def spin(context):
    """Spins nodes; the errors are (origin, text)."""
    spinning = []

    def go(*nodes, on_error):
        executor = ResilientExecutor(on_error, pytest.fail, context=context)
        for node in nodes:
            executor.add_node(node)
        thread = threading.Thread(target=executor.spin, daemon=True)
        spinning.append((executor, thread, nodes))
        return executor, thread

    yield go
    for executor, thread, nodes in spinning:
        executor.shutdown()
        thread.join(10)
        assert not thread.is_alive()
        for node in nodes:
            node.destroy_node()


def test_callbacks_that_raise_are_told_with_their_origin_and_called_again(context, spin):
    node = rclpy.create_node("test", context=context)
    errors = []
    calls = {"timer": 0, "subscription": 0, "service": 0}

    def failing(kind):
        def callback(*arguments):
            calls[kind] += 1
            raise KeyError(f"in the {kind}")

        return callback

    node.create_timer(0.02, failing("timer"))
    node.create_subscription(DiagnosticArray, "/broken", failing("subscription"), 10)
    node.create_service(Trigger, "/broken_service", failing("service"))
    publisher = node.create_publisher(DiagnosticArray, "/broken", 10)
    client = node.create_client(Trigger, "/broken_service")
    _, thread = spin(node, on_error=lambda *error: errors.append(error))
    thread.start()
    wait_for(client.service_is_ready)
    while min(calls.values()) < 3:
        publisher.publish(DiagnosticArray())
        client.call_async(Trigger.Request())
        time.sleep(0.05)
    wait_for(lambda: len({origin for origin, _ in errors}) == 3)
    told = dict(errors)
    assert told.keys() == {"timer", "subscription /broken", "service /broken_service"}
    assert "KeyError: 'in the subscription'" in told["subscription /broken"]
    assert "test_executor.py:" in told["timer"]


def test_an_entity_whose_message_cannot_be_taken_is_served_again(context, spin):
    node = rclpy.create_node("test", context=context)
    errors, ticks = [], []
    node.create_timer(0.02, lambda: ticks.append(1))
    executor, thread = spin(node, on_error=lambda *error: errors.append(error))
    real, broken = executor._take_timer, iter([RuntimeError("not to be taken")] * 3)

    def take(timer):
        error = next(broken, None)
        if error is not None:
            raise error
        return real(timer)

    executor._take_timer = take
    thread.start()
    wait_for(lambda: len(ticks) > 2)
    assert [origin for origin, _ in errors] == ["timer"] * 3


def test_the_executor_outlives_its_own_errors(context, spin):
    node = rclpy.create_node("test", context=context)
    errors, ticks = [], []
    node.create_timer(0.02, lambda: ticks.append(1))
    executor, thread = spin(node, on_error=lambda *error: errors.append(error))
    real, broken = executor.spin_once, iter([OSError("no wait set")])

    def spin_once():
        error = next(broken, None)
        if error is not None:
            raise error
        real()

    executor.spin_once = spin_once
    thread.start()
    wait_for(lambda: ticks)
    ((origin, text),) = errors
    assert origin == "executor"
    assert "no wait set" in text


def test_it_ends_with_its_context(context, spin):
    node = rclpy.create_node("test", context=context)
    errors = []
    _, thread = spin(node, on_error=lambda *error: errors.append(error))
    thread.start()
    time.sleep(0.1)
    context.shutdown()
    thread.join(10)
    assert not thread.is_alive()
    assert errors == []


@pytest.fixture
def idle_node(context):
    autostart = Parameter("autostart", value=False)
    return ObjectomalyNode(context=context, parameter_overrides=[autostart])


def test_repeated_exceptions_make_the_nodes_diagnostics_an_error(context, spin, idle_node):
    reports = []
    observer = rclpy.create_node("test", context=context)
    observer.create_subscription(
        DiagnosticArray, "/diagnostics", lambda array: reports.append(array.status[0]), 10
    )

    def fail():
        raise ValueError("broken on purpose")

    idle_node.create_timer(0.05, fail)
    _, thread = spin(idle_node, observer, on_error=idle_node.report_fault)
    thread.start()
    wait_for(lambda: reports and reports[-1].level == DiagnosticStatus.ERROR)
    assert reports[-1].message.startswith("exception in timer: broken on purpose (")


def test_requests_that_rclpy_cannot_serve_are_refused(context, spin, idle_node):
    errors = []
    observer = rclpy.create_node("test", context=context)
    change = observer.create_client(ChangeState, "/objectomaly/change_state")
    put = observer.create_client(SetParametersAtomically, "/objectomaly/set_parameters_atomically")
    _, thread = spin(idle_node, observer, on_error=lambda *error: errors.append(error))
    thread.start()
    wait_for(lambda: change.service_is_ready() and put.service_is_ready())

    unknown = ChangeState.Request()
    unknown.transition.id = 99
    asked = change.call_async(unknown)
    wait_for(asked.done)
    assert not asked.result().success

    wrong = Parameter("min_area", value=3).to_parameter_msg()
    wrong.value.type = 42
    asked = put.call_async(SetParametersAtomically.Request(parameters=[wrong]))
    wait_for(asked.done)
    assert not asked.result().result.successful
    assert "42 is not a valid" in asked.result().result.reason
    assert idle_node.get_parameter("min_area").type_.value == ParameterType.PARAMETER_INTEGER
    assert errors == []


def test_a_destroyed_node_keeps_no_shared_memory(idle_node):
    def segments():
        maps = Path("/proc/self/maps").read_text()
        return set(re.findall(r"/dev/shm/fast(?:rtps|dds)_[0-9a-f]{16}\b", maps))

    before = segments()
    if not before:
        pytest.skip("Fast DDS takes no shared memory here")
    idle_node.destroy_node()
    assert segments() < before
