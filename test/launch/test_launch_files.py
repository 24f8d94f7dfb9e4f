"""The launch files, by the real launch system wherever it is installed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from domains import next_domain

pytest.importorskip(
    "launch_ros",
    reason="LAUNCH FILES NOT TESTED: launch_ros is not on PyPI; run this on a ROS 2 distribution",
)

from launch import LaunchContext
from launch.actions import ExecuteProcess
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.utilities import perform_substitutions
from launch_ros.actions import Node

pytestmark = pytest.mark.ros

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
CONFIG = LAUNCH.parent / "config"


def load(file, /, **arguments):
    """Do what a launch file says, but start no process; return the context and all actions."""
    context = LaunchContext()
    for key, value in arguments.items():
        context.launch_configurations[key] = value
    found = []
    waiting = [PythonLaunchDescriptionSource(str(LAUNCH / file)).get_launch_description(context)]
    while waiting:
        entity = waiting.pop(0)
        found.append(entity)
        if isinstance(entity, ExecuteProcess):
            continue
        waiting = [*(entity.visit(context) or []), *waiting]
    return context, found


def node(file="refine.launch.py", /, **arguments):
    context, actions = load(file, **arguments)
    (found,) = [a for a in actions if isinstance(a, Node) and a.node_executable == "refine_node"]
    return context, found


def command_of(context, process):
    return [perform_substitutions(context, part) for part in process.cmd]


def node_command(**arguments):
    """The node with its parameter files expanded, and its remapping rules."""
    context, found = node(**arguments)
    found._perform_substitutions(context)
    return found, list(found.expanded_remapping_rules or [])


def test_the_default_is_the_embedded_profile_and_no_remapping():
    found, rules = node_command()
    assert found.node_name.endswith("/objectomaly")
    assert rules == []
    parameter_files = [
        path for path, is_file in found._Node__expanded_parameter_arguments if is_file
    ]
    assert Path(parameter_files[0]).samefile(CONFIG / "embedded.yaml")


def test_the_paper_profile_and_a_file_of_ones_own(tmp_path):
    found, _ = node_command(profile="paper")
    assert Path(found._Node__expanded_parameter_arguments[0][0]).name == "paper.yaml"
    own = tmp_path / "mine.yaml"
    own.write_text("/**:\n  ros__parameters:\n    min_area: 9\n")
    found, _ = node_command(params_file=str(own))
    assert Path(found._Node__expanded_parameter_arguments[0][0]) == own


def test_a_parameter_file_that_is_not_there():
    with pytest.raises(FileNotFoundError, match=r"no parameter file at /nowhere\.yaml"):
        node(params_file="/nowhere.yaml")


def test_one_camera():
    _, rules = node_command(image_topic="/front/image_raw")
    assert rules == [("image", "/front/image_raw"), ("camera_info", "/front/camera_info")]
    _, rules = node_command(image_topic="/a/image", camera_info_topic="/b/info")
    assert rules == [("image", "/a/image"), ("camera_info", "/b/info")]


def test_a_compressed_topic_may_be_named_either_way():
    for topic in ("/front/image_raw", "/front/image_raw/compressed"):
        _, rules = node_command(image_topic=topic, image_transport="compressed")
        assert rules[0] == ("image", "/front/image_raw")
    with pytest.raises(ValueError, match="give image_transport:=compressed"):
        node(image_topic="/front/image_raw/compressed", image_transport="raw")


def test_several_cameras():
    found, rules = node_command(camera_names="front, left", image_topic="/f/image,/l/image")
    assert rules == [
        ("front/image", "/f/image"),
        ("front/camera_info", "/f/camera_info"),
        ("left/image", "/l/image"),
        ("left/camera_info", "/l/camera_info"),
    ]
    overrides = Path(found._Node__expanded_parameter_arguments[1][0]).read_text()
    assert "camera_names" in overrides
    assert "front" in overrides
    with pytest.raises(ValueError, match="names 1 topics for 2 cameras"):
        node(camera_names="front,left", image_topic="/f/image")


def test_overrides_are_given_only_where_asked_for():
    found, _ = node_command()
    assert len(found._Node__expanded_parameter_arguments) == 1
    found, _ = node_command(use_sim_time="True", autostart="false", viewing="true")
    overrides = Path(found._Node__expanded_parameter_arguments[1][0]).read_text()
    assert "use_sim_time: true" in overrides
    assert "autostart: false" in overrides
    assert "mask_value: 128" in overrides


def test_namespace_name_and_log_level():
    found, _ = node_command(namespace="car", name="watcher", log_level="debug")
    assert found.node_name == "/car/watcher"
    level = [[perform_substitutions(LaunchContext(), [p]) for p in part] for part in found.cmd[1:4]]
    assert level == [["--ros-args"], ["--log-level"], ["debug"]]


def test_fast_dds_gets_the_profile_unless_the_user_has_one(monkeypatch):
    variables = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")

    def profiles(**chosen):
        for name in (*variables, "FASTDDS_BUILTIN_TRANSPORTS"):
            monkeypatch.setenv(name, "to be restored")
            monkeypatch.delenv(name)
        for name, value in chosen.items():
            monkeypatch.setenv(name, value)
        context, _ = load("refine.launch.py")
        return [context.environment.get(name) for name in variables]

    monkeypatch.setenv("ROS_DISTRO", "kilted")
    assert profiles()[1] is None
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    ours, the_same = profiles()
    assert Path(ours).samefile(CONFIG / "fastdds.xml")
    assert the_same == ours
    assert profiles(FASTDDS_DEFAULT_PROFILES_FILE="/mine.xml") == ["/mine.xml", None]
    assert profiles(FASTDDS_BUILTIN_TRANSPORTS="UDPv4") == [None, None]


def test_rviz_is_asked_for_and_shows_this_node(tmp_path, monkeypatch):
    """Whether rviz2 is there is looked up in the ament index alone."""
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"rviz2 is not installed: .*rviz:=false"):
        load("refine.launch.py", rviz="true")
    index = tmp_path / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    (index / "rviz2").touch()
    program = tmp_path / "lib" / "rviz2" / "rviz2"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    context, actions = load("refine.launch.py", rviz="true", namespace="car", camera_names="front")
    (rviz,) = [a for a in actions if isinstance(a, Node) and a.node_executable == "rviz2"]
    rviz._perform_substitutions(context)
    assert ("/objectomaly/overlay", "car/objectomaly/front/overlay") in (
        rviz.expanded_remapping_rules
    )
    arguments = [perform_substitutions(context, part) for part in rviz.cmd[1:3]]
    assert arguments == ["-d", str(CONFIG / "objectomaly.rviz")]


def test_replay_plays_the_bag_by_its_clock_beside_the_node(tmp_path):
    bag = tmp_path / "drive"
    bag.mkdir()
    arguments = {"bag": str(bag), "rviz": "false", "image_topic": "/cam/image"}
    context, actions = load(
        "replay.launch.py", rate="0.5", start_offset="3", loop="true", **arguments
    )
    (player,) = [a for a in actions if isinstance(a, ExecuteProcess) and not isinstance(a, Node)]
    assert command_of(context, player) == [
        "ros2", "bag", "play", str(bag), "--clock", "100", "--exclude-topics", "/clock",
        "--rate", "0.5", "--start-offset", "3", "--loop",
    ]  # fmt: skip
    (found,) = [a for a in actions if isinstance(a, Node)]
    found._perform_substitutions(context)
    assert ("image", "/cam/image") in found.expanded_remapping_rules
    assert "use_sim_time: true" in Path(found._Node__expanded_parameter_arguments[1][0]).read_text()
    context, actions = load("replay.launch.py", **arguments)
    (player,) = [a for a in actions if isinstance(a, ExecuteProcess) and not isinstance(a, Node)]
    assert "--loop" not in command_of(context, player)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"bag": "/nowhere"}, "no bag at /nowhere: give bag:=PATH"),
        ({"bag": "/", "rate": "fast"}, "rate:=fast is no positive number"),
        ({"bag": "/", "rate": "0"}, "rate:=0 is no positive number"),
        ({"bag": "/", "start_offset": "-1"}, "start_offset:=-1"),
    ],
)
def test_replays_that_cannot_be(arguments, words):
    with pytest.raises((FileNotFoundError, ValueError), match=words):
        load("replay.launch.py", rviz="false", **arguments)


def test_the_node_starts_goes_active_and_ends_with_ctrl_c(tmp_path):
    """The whole way: a launch process, the node in it, its state seen from here, Ctrl-C."""
    rclpy = pytest.importorskip("rclpy")
    from lifecycle_msgs.srv import GetState

    domain = next_domain()
    code = (
        "import sys\n"
        "from launch import LaunchService, LaunchDescription\n"
        "from launch.actions import IncludeLaunchDescription\n"
        "from launch.launch_description_sources import PythonLaunchDescriptionSource\n"
        "service = LaunchService(argv=['namespace:=car'])\n"
        "service.include_launch_description(LaunchDescription([IncludeLaunchDescription(\n"
        "    PythonLaunchDescriptionSource(sys.argv[1]),\n"
        "    launch_arguments=[('namespace', 'car'), ('image_topic', '/cam/image')])]))\n"
        "sys.exit(service.run())\n"
    )
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(LAUNCH / "refine.launch.py")],
            env=os.environ | {"ROS_DOMAIN_ID": str(domain)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    try:
        observer = rclpy.create_node("observer", context=context)
        executor = rclpy.executors.SingleThreadedExecutor(context=context)
        executor.add_node(observer)
        client = observer.create_client(GetState, "/car/objectomaly/get_state")
        label, deadline = "", time.monotonic() + 200
        while label != "active" and time.monotonic() < deadline and process.poll() is None:
            if client.wait_for_service(timeout_sec=1.0):
                future = client.call_async(GetState.Request())
                executor.spin_until_future_complete(future, timeout_sec=2.0)
                label = future.result().current_state.label if future.done() else ""
        assert label == "active", log.read_text()
        topics = dict(observer.get_topic_names_and_types())
        assert "/car/objectomaly/score" in topics
        # The new subscriber may become known here a little later than the state.
        while not observer.count_subscribers("/cam/image") and time.monotonic() < deadline:
            time.sleep(0.1)
        assert observer.count_subscribers("/cam/image") == 1
    finally:
        context.try_shutdown()
        process.send_signal(signal.SIGINT)
        status = process.wait(20)
    assert status == 0, log.read_text()
    assert "process has finished cleanly" in log.read_text()
