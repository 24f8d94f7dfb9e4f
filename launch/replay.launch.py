"""Replays a bag to the node with the clock of the recording, and shows the outputs in RViz.

ros2 launch objectomaly_ros replay.launch.py bag:=PATH image_topic:=/camera/image_raw

It takes all arguments of refine.launch.py too.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

REFINE = Path(__file__).resolve().parent / "refine.launch.py"
CLOCK_HZ = "100"

BOOLEANS = ["true", "false", "True", "False"]

ARGUMENTS = [
    DeclareLaunchArgument("bag", description="Bag folder, or one .mcap or .db3 file."),
    DeclareLaunchArgument("rate", default_value="1.0", description="Speed of the replay."),
    DeclareLaunchArgument("loop", default_value="false", choices=BOOLEANS,
                          description="Start over at the end."),
    DeclareLaunchArgument("start_offset", default_value="0.0",
                          description="Seconds to skip at the beginning."),
    DeclareLaunchArgument("rviz", default_value="true", choices=BOOLEANS,
                          description="Show the outputs."),
]  # fmt: skip


def play(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    values = {a.name: context.launch_configurations[a.name].strip() for a in ARGUMENTS}
    bag = Path(values["bag"]).expanduser()
    if not bag.exists():
        raise FileNotFoundError(
            f"no bag at {bag}: give bag:=PATH, a bag folder or a .mcap or .db3 file"
        )
    for name in ("rate", "start_offset"):
        _check_number(name, values[name])
    command = ["ros2", "bag", "play", str(bag), "--clock", CLOCK_HZ]
    command += ["--exclude-topics", "/clock"]  # a recorded one would be a second clock
    command += ["--rate", values["rate"], "--start-offset", values["start_offset"]]
    if values["loop"].lower() == "true":
        command.append("--loop")
    player = ExecuteProcess(cmd=command, output="screen")
    at_end = RegisterEventHandler(OnProcessExit(target_action=player, on_exit=_ended))
    return [*_misspelt(context), player, at_end]


def _ended(event: ProcessExited, context: LaunchContext) -> LogInfo | None:
    if context.is_shutdown:  # Ctrl-C
        return None
    what = "has ended" if event.returncode == 0 else "does not play, see above"
    return LogInfo(msg=f"The bag {what}; the node stays up. Ctrl-C ends it.")


def _misspelt(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Tell arguments that launch would ignore without a word; refine.launch.py tells its own."""
    names = [argument.name for argument in ARGUMENTS]
    return [
        LogInfo(msg=f"{name}:= is no argument of replay.launch.py; did you mean {near[0]}:=?")
        for name in context.launch_configurations
        if name not in names and (near := difflib.get_close_matches(name, names, 1, cutoff=0.8))
    ]


def _check_number(name: str, text: str) -> None:
    try:
        good = float(text) > 0 or (name == "start_offset" and float(text) == 0)
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"{name}:={text} is no positive number")


def generate_launch_description() -> LaunchDescription:
    refine = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(REFINE)),
        launch_arguments={"use_sim_time": "true", "rviz": LaunchConfiguration("rviz")}.items(),
    )
    # First the bag, so that nothing starts without it.
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=play), refine])
