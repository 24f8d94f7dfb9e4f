"""The command lines of play_bag and record_bag. Imports no rclpy."""

from __future__ import annotations

import argparse
from pathlib import Path

from objectomaly_ros import __version__
from objectomaly_ros.bags.writer import STORAGES

FOREVER = 0
CLOCK_HZ = 40.0


def _loops(text: str) -> int:
    if text == "forever":
        return FOREVER
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a count from 1 on nor 'forever'")
    return int(text)


def play_bag_parser() -> argparse.ArgumentParser:
    """Return the parser of play_bag."""
    parser = argparse.ArgumentParser(
        prog="play_bag", description="Play a bag into the ROS graph at its own pace."
    )
    # fmt: off
    add = parser.add_argument
    add("--version", action="version", version=f"%(prog)s {__version__}")
    add("bag", type=Path, help="bag folder, or one .mcap, .db3 or (ROS 1) .bag file")
    add("-r", "--rate", type=float, default=1.0, help="speed (default: %(default)s)")
    add("-l", "--loop", type=_loops, nargs="?", const=FOREVER, default=1, metavar="N|forever",
        help="number of replays (default: 1; without a number: forever); stamps repeat")
    add("--clock", type=float, nargs="?", const=CLOCK_HZ, default=0.0, metavar="HZ",
        dest="clock_hz", help="publish /clock, and no recorded one (without a number: 40 Hz)")
    add("--clock-from-stamps", action="store_true",
        help="/clock follows the stamps of the messages instead of their log times")
    add("--stamps-from-log", action="store_true",
        help="stamp the messages with their log times, if their own stamps are zero or wrong")
    add("--start-offset", type=float, default=0.0, metavar="S",
        help="leave out so many seconds of the recording, except latched messages (/tf_static)")
    add("-p", "--start-paused", action="store_true",
        help="wait for the space bar, or for ~/pause (std_srvs/SetBool) with false")
    add("-d", "--delay", type=float, default=0.0, metavar="S", help="wait before the start")
    add("--topics", nargs="+", default=[], metavar="TOPIC", help="only these")
    add("-m", "--remap", nargs="+", default=[], metavar="OLD:=NEW", help="rename topics")
    add("--wait-for-subscribers", action="append", default=[], metavar="[N][/TOPIC]", dest="waits",
        help="start when N (default 1) subscribers listen to the topic, or to each; repeatable")
    add("--wait-timeout", type=float, default=60.0, metavar="S",
        help="longest wait for subscribers (default: %(default)s)")
    # fmt: on
    return parser


def record_bag_parser() -> argparse.ArgumentParser:
    """Return the parser of record_bag."""
    parser = argparse.ArgumentParser(
        prog="record_bag",
        description="Record topics into a bag until Ctrl-C. A killed recording has no index: this "
        "package reads it all the same; other tools need `mcap recover` (MCAP) or `ros2 bag "
        "reindex` (SQLite) first.",
    )
    # fmt: off
    add = parser.add_argument
    add("--version", action="version", version=f"%(prog)s {__version__}")
    add("topics", nargs="*", metavar="TOPIC", help="topics to record")
    add("-a", "--all", nargs="?", const="/", metavar="NAMESPACE", dest="namespace",
        help="record all topics, or all below a namespace")
    add("-o", "--output", type=Path, metavar="BAG",
        help="bag folder to make (default: rosbag2_ and the time)")
    add("-s", "--storage", choices=tuple(STORAGES), default="mcap", help="default: %(default)s")
    add("--compress", action="store_true", help="compress the chunks of an MCAP file (zstd)")
    add("--headers", nargs="+", default=[], metavar="TOPIC",
        help="further topics, of which the header alone is recorded")
    add("--score-bits", type=int, choices=range(1, 24), metavar="N",
        help="round 32FC1 images to multiples of 2^-N (1 to 23), which compress well")
    add("--max-queue", type=int, default=256, metavar="MB",
        help="size of the queue for the disk (default: %(default)s)")
    add("--use-sim-time", action="store_true", help="log by the time of /clock")
    # fmt: on
    return parser
