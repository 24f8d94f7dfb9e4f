"""What refine.launch.py makes of its arguments; stand-ins play the launch system, not on PyPI."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import pytest

LAUNCH = Path(__file__).resolve().parents[2] / "launch"


class Record:
    """Keeps what it was made of."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.arguments, self.named = arguments, named
        self.name = arguments[0] if arguments else None


CONTENTS = {
    "launch": ("LaunchContext", "LaunchDescription", "LaunchDescriptionEntity"),
    "launch.actions": (
        "DeclareLaunchArgument", "ExecuteProcess", "IncludeLaunchDescription", "LogInfo",
        "OpaqueFunction", "RegisterEventHandler", "SetEnvironmentVariable",
    ),
    "launch.event_handlers": ("OnProcessExit",),
    "launch.events": (),
    "launch.events.process": ("ProcessExited",),
    "launch.launch_description_sources": ("PythonLaunchDescriptionSource",),
    "launch.substitutions": ("LaunchConfiguration",),
    "launch_ros": (),
    "launch_ros.actions": ("Node",),
    "ament_index_python": (),
    "ament_index_python.packages": ("PackageNotFoundError", "get_package_prefix"),
}  # fmt: skip


@pytest.fixture
def load(monkeypatch):
    for name, classes in CONTENTS.items():
        module = types.ModuleType(name)
        for kind in classes:
            setattr(module, kind, type(kind, (Record,), {}))
        monkeypatch.setitem(sys.modules, name, module)

    def go(file):
        spec = importlib.util.spec_from_file_location("launch_file", LAUNCH / file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return go


def actions(module, /, **given):
    """Check the arguments as launch does; return the actions."""
    configurations = {}
    for argument in module.ARGUMENTS:
        configurations[argument.name] = argument.named.get("default_value", "")
        choices = argument.named.get("choices")
        if argument.name in given and choices is not None:
            assert given[argument.name] in choices, argument.name
    context = types.SimpleNamespace(launch_configurations={**configurations, **given})
    return module.start(context)


def overrides(module, /, **given):
    (node,) = [a for a in actions(module, **given) if a.named.get("executable") == "refine_node"]
    return node.named, {k: v for extra in node.named["parameters"][1:] for k, v in extra.items()}


@pytest.mark.parametrize("text", ["true", "True"])
def test_a_truth_may_be_spelt_as_python_spells_it(load, text):
    module = load("refine.launch.py")
    node, values = overrides(module, use_sim_time=text, autostart=text, respawn=text)
    assert values == {"use_sim_time": True, "autostart": True}
    assert node["respawn"] is True
    node, values = overrides(module, use_sim_time="False", autostart="False", respawn="False")
    assert values == {"autostart": False}
    assert node["respawn"] is False
    names = [a.named.get("executable") for a in actions(module, rviz=text)]
    assert names[-2:] == ["refine_node", "rviz2"]


def test_the_replay_takes_both_spellings_too(load):
    for argument in load("replay.launch.py").ARGUMENTS:
        if "choices" in argument.named:
            assert {"true", "True", "false", "False"} <= {*argument.named["choices"]}


def test_viewing_makes_obstacles_visible_in_the_mask(load):
    module = load("refine.launch.py")
    assert overrides(module)[1] == {}
    _, values = overrides(module, viewing="true")
    assert min(values["mask_value"], 255 - values["mask_value"]) > 100
    assert isinstance(values["mask_value"], int)


def test_a_depth_topic_is_remapped_and_used(load):
    module = load("refine.launch.py")
    node, values = overrides(module, depth_topic="/camera/aligned_depth/image_raw")
    assert ("depth", "/camera/aligned_depth/image_raw") in node["remappings"]
    assert values == {"depth.use": True}
    node, _ = overrides(module, camera_names="front,left", depth_topic="/f/depth,/l/depth")
    assert {("front/depth", "/f/depth"), ("left/depth", "/l/depth")} <= {*node["remappings"]}
    with pytest.raises(ValueError, match="depth_topic names 1 topics for 2 cameras"):
        overrides(module, camera_names="front,left", depth_topic="/depth")


def test_nav2_finds_the_scan_and_its_frame_without_parameters_of_its_own(load):
    module = load("refine.launch.py")
    node, values = overrides(module, planner="nav2", image_topic="/cam/image")
    assert node["remappings"] == [
        ("image", "/cam/image"), ("camera_info", "/cam/camera_info"), ("~/scan", "scan"),
    ]  # fmt: skip
    assert values == {"points.base_frame": "base_footprint", "scan.range_max": 5.0}
    node, values = overrides(module, planner="nav2", camera_names="front, left")
    assert node["remappings"] == [("~/front/scan", "front/scan"), ("~/left/scan", "left/scan")]
    node, values = overrides(module)
    assert (node["remappings"], values) == ([], {})


def test_a_misspelt_argument_is_told_with_the_nearest_name(load):
    module = load("refine.launch.py")

    def told(**given):
        return [a.named["msg"] for a in actions(module, **given) if "msg" in a.named]

    assert told(image_topics="/cam/image") == [
        "image_topics:= is no argument of refine.launch.py; did you mean image_topic:=?"
    ]
    assert told(bag="/drive", rate="1.0", image_topic="/cam/image") == []
    assert told(ros_namespace="/car") == []  # PushRosNamespace sets it


def test_a_misspelt_argument_of_the_replay_is_told_too(load, tmp_path):
    module = load("replay.launch.py")

    def told(**given):
        defaults = {a.name: a.named.get("default_value", "") for a in module.ARGUMENTS}
        given = {**defaults, "bag": str(tmp_path), **given}
        found = module.play(types.SimpleNamespace(launch_configurations=given))
        return [action.named["msg"] for action in found if "msg" in action.named]

    assert told(start_ofset="3", image_topic="/cam/image", use_sim_time="true") == [
        "start_ofset:= is no argument of replay.launch.py; did you mean start_offset:=?"
    ]


def test_the_end_of_a_replay_is_told_as_what_it_is(load):
    module = load("replay.launch.py")

    def told(code, *, ctrl_c=False):
        event = types.SimpleNamespace(returncode=code)
        said = module._ended(event, types.SimpleNamespace(is_shutdown=ctrl_c))
        return said and said.named["msg"]

    assert told(0).startswith("The bag has ended; the node stays up.")
    assert told(1).startswith("The bag does not play, see above;")
    assert told(130, ctrl_c=True) is None
