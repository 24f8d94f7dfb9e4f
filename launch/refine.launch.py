"""Starts the node on camera topics, with rviz:=true also RViz.

ros2 launch objectomaly_ros refine.launch.py image_topic:=/camera/image_raw rviz:=true
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch_ros.actions import Node

SHARE = Path(__file__).resolve().parents[1]
# Jazzy reads the second, of which later distributions warn.
FASTDDS_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
BOOLEANS = ["true", "false", "True", "False"]
VISIBLE = 128  # obstacles in ~/mask, apart from 0 (free) and 255 (ignore) for the eye, too
SHOWN = ("overlay", "score", "mask", "points", "free")  # by config/objectomaly.rviz
# As Nav2's stock parameters have it: the frame of the Collision Monitor, and a little more than the
# 3 m to which costmaps clear. Farther, the road must be seen free all the way to clear at all.
NAV2: dict[str, object] = {"points.base_frame": "base_footprint", "scan.range_max": 5.0}


# An empty value leaves the decision to the parameter file.
ARGUMENTS = [
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node."),
    DeclareLaunchArgument("name", default_value="objectomaly", description="Name of the node."),
    DeclareLaunchArgument("profile", default_value="embedded", choices=["embedded", "paper"],
        description="Parameter file of the package: no downloads, or the paper's models."),
    DeclareLaunchArgument("params_file", default_value="",
        description="Parameter file of your own, instead of the profile's."),
    DeclareLaunchArgument("image_topic", default_value="",
        description="Image topic; one for each of camera_names, divided by commas. Empty: 'image', "
        "or 'NAME/image'."),
    DeclareLaunchArgument("camera_info_topic", default_value="",
        description="Like image_topic, for sensor_msgs/CameraInfo. Empty: 'camera_info' in the "
        "namespace of the image topic."),
    DeclareLaunchArgument("depth_topic", default_value="",
        description="Like image_topic, for depth aligned to the image; sets depth.use. Empty: as "
        "the parameter file says."),
    DeclareLaunchArgument("camera_names", default_value="",
        description="Names of several cameras, divided by commas: front,left."),
    DeclareLaunchArgument("image_transport", default_value="", choices=["", "raw", "compressed"],
        description="compressed subscribes to the image topic with /compressed."),
    DeclareLaunchArgument("planner", default_value="", choices=["", "nav2"],
        description="nav2 publishes ~/scan as 'scan' (NAME/scan for each of camera_names), in the "
        "frame base_footprint and up to 5 m, as Nav2's stock parameters expect. Not beside a lidar "
        "on 'scan'."),
    DeclareLaunchArgument("use_sim_time", default_value="false", choices=BOOLEANS,
        description="Follow /clock."),
    DeclareLaunchArgument("autostart", default_value="", choices=["", *BOOLEANS],
        description="Go to active without a lifecycle manager."),
    DeclareLaunchArgument("respawn", default_value="false", choices=BOOLEANS,
        description="Restart a node that died."),
    DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn, ..."),
    DeclareLaunchArgument("viewing", default_value="false", choices=BOOLEANS,
        description="Set mask_value to 128: in a viewer, the default 1 looks like 0."),
    DeclareLaunchArgument("rviz", default_value="false", choices=BOOLEANS,
        description="Show the outputs in RViz."),
]  # fmt: skip


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    values = {a.name: context.launch_configurations[a.name].strip() for a in ARGUMENTS}
    cameras = _split(values["camera_names"])
    actions: list[LaunchDescriptionEntity] = _misspelt(context)
    actions += [
        SetEnvironmentVariable(variable, str(SHARE / "config" / "fastdds.xml"))
        for variable in FASTDDS_VARIABLES[: 2 if os.environ.get("ROS_DISTRO") == "jazzy" else 1]
        if not os.environ.keys() & {*FASTDDS_VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS"}
    ]
    actions.append(
        Node(
            package="objectomaly_ros",
            executable="refine_node",
            namespace=values["namespace"],
            name=values["name"],
            parameters=[str(_parameter_file(values)), *_overrides(values, cameras)],
            remappings=_remappings(values, cameras),
            arguments=["--ros-args", "--log-level", values["log_level"]],
            respawn=_is_true(values["respawn"]),
            respawn_delay=2.0,
            output="screen",
            emulate_tty=True,
        )
    )
    if _is_true(values["rviz"]):
        actions.append(_rviz(values, cameras))
    return actions


def _misspelt(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Tell arguments that launch would ignore without a word."""
    names = [argument.name for argument in ARGUMENTS]
    return [
        LogInfo(msg=f"{name}:= is no argument of refine.launch.py; did you mean {near[0]}:=?")
        for name in context.launch_configurations
        if not {name} & {*names, "ros_namespace"}  # the latter is of PushRosNamespace
        and (near := difflib.get_close_matches(name, names, 1, cutoff=0.8))
    ]


def _is_true(text: str) -> bool:
    return text.lower() == "true"


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _parameter_file(values: dict[str, str]) -> Path:
    own = values["params_file"]
    path = Path(own).expanduser() if own else SHARE / "config" / f"{values['profile']}.yaml"
    if not path.is_file():
        raise FileNotFoundError(f"no parameter file at {path}: give params_file:=PATH")
    return path


def _overrides(values: dict[str, str], cameras: list[str]) -> list[dict[str, object]]:
    given: dict[str, object] = {}
    if _is_true(values["use_sim_time"]):
        given["use_sim_time"] = True
    if values["autostart"]:
        given["autostart"] = _is_true(values["autostart"])
    if _is_true(values["viewing"]):
        given["mask_value"] = VISIBLE
    if values["planner"]:
        given |= NAV2
    if values["image_transport"]:
        given["image_transport"] = values["image_transport"]
    if values["depth_topic"]:
        given["depth.use"] = True
    if cameras:
        given["camera_names"] = cameras
    return [given] if given else []


def _remappings(values: dict[str, str], cameras: list[str]) -> list[tuple[str, str]]:
    prefixes = [f"{camera}/" for camera in cameras] or [""]
    images = _one_each("image_topic", values, prefixes)
    infos = _one_each("camera_info_topic", values, prefixes)
    depths = _one_each("depth_topic", values, prefixes)
    rules = []
    for index, prefix in enumerate(prefixes):
        if images:
            # The node adds /compressed itself, like image_transport.
            image = images[index].removesuffix("/compressed")
            if image != images[index] and values["image_transport"] == "raw":
                raise ValueError(
                    f"image_topic {images[index]} is compressed: give image_transport:=compressed"
                )
            rules.append((f"{prefix}image", image))
        if depths:
            rules.append((f"{prefix}depth", depths[index]))
        if infos:
            rules.append((f"{prefix}camera_info", infos[index]))
        elif images:
            folder, slash, _ = image.rpartition("/")
            rules.append((f"{prefix}camera_info", f"{folder}{slash}camera_info"))
        if values["planner"]:
            rules.append((f"~/{prefix}scan", f"{prefix}scan"))
    return rules


def _one_each(argument: str, values: dict[str, str], prefixes: list[str]) -> list[str]:
    topics = _split(values[argument])
    if topics and len(topics) != len(prefixes):
        raise ValueError(
            f"{argument} names {len(topics)} topics for {len(prefixes)} cameras: {values[argument]}"
        )
    return topics


def _rviz(values: dict[str, str], cameras: list[str]) -> Node:
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        raise RuntimeError(
            "rviz2 is not installed: sudo apt install ros-$ROS_DISTRO-rviz2, or give rviz:=false"
        ) from None
    # Relative names, which PushRosNamespace moves together with the node.
    node = "/".join(part.rstrip("/") for part in (values["namespace"], values["name"]) if part)
    first = f"{node}/{cameras[0]}" if cameras else node
    return Node(
        package="rviz2",
        executable="rviz2",
        name="objectomaly_rviz",
        arguments=["-d", str(SHARE / "config" / "objectomaly.rviz")],
        parameters=[{"use_sim_time": _is_true(values["use_sim_time"])}],
        remappings=[(f"/objectomaly/{output}", f"{first}/{output}") for output in SHOWN],
        output="log",
    )


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start)])
