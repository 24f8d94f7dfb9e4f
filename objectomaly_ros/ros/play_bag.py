"""The command `play_bag`: plays a bag into the ROS graph, for machines without `ros2 bag`."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import rclpy
from rclpy.signals import SignalHandlerOptions

from objectomaly_ros import __version__
from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.playback import parse_remap, parse_wait
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.ros.pausing import pausing
from objectomaly_ros.ros.player import BagPlayer, PlayOptions, PlayReport
from objectomaly_ros.runtime.environment import keep_freed_memory

FOREVER = 0
CLOCK_HZ = 40.0


def _loops(text: str) -> int:
    if text == "forever":
        return FOREVER
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a count from 1 on nor 'forever'")
    return int(text)


def _parser() -> argparse.ArgumentParser:
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run play_bag.

    Returns:
        The exit status: 0 played to the end, 1 error in bag, topics or subscribers, 130 stopped.
    """
    arguments = list(sys.argv if argv is None else ["play_bag", *argv])
    # remove_ros_args would take the rules of our own --remap for ROS arguments.
    own = arguments.index("--ros-args") if "--ros-args" in arguments else len(arguments)
    given = vars(_parser().parse_intermixed_args(arguments[1:own]))
    keep_freed_memory()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    rclpy.init(args=arguments[own:], signal_handler_options=SignalHandlerOptions.NO)
    try:
        if given["clock_from_stamps"] and not given["clock_hz"]:
            given["clock_hz"] = CLOCK_HZ
        with Bag(given.pop("bag")) as bag:
            options = PlayOptions(
                **given
                | {
                    "topics": tuple(given["topics"]),
                    "remap": parse_remap(given["remap"]),
                    "waits": tuple(map(parse_wait, given["waits"])),
                }
            )
            node = rclpy.create_node("play_bag", start_parameter_services=False)
            player = BagPlayer(node, bag, options, stop)
            with pausing(node, player.pause, lambda: player.paused):
                report = player.play()
    except BagError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        rclpy.shutdown()
    _print_report(report)
    return 130 if report.stopped else 0


def _print_report(report: PlayReport) -> None:
    for topic, count in report.counts.items():
        print(f"{count:8d}  {topic}")
    times = f"{report.loops} time{'' if report.loops == 1 else 's'}"
    print(f"{'stopped' if report.stopped else 'played'} after {times}; ", end="")
    print(f"at most {report.latest * 1e3:.0f} ms behind")
    if report.damage:
        print(f"warning: {report.damage}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
