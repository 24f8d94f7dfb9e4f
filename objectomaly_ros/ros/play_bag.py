"""The command `play_bag`: plays a bag into the ROS graph, for machines without `ros2 bag`."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence

import rclpy
from rclpy.signals import SignalHandlerOptions

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.playback import parse_remap, parse_wait
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.ros.arguments import CLOCK_HZ, play_bag_parser
from objectomaly_ros.ros.pausing import pausing
from objectomaly_ros.ros.player import BagPlayer, PlayOptions, PlayReport
from objectomaly_ros.runtime.environment import keep_freed_memory


def main(argv: Sequence[str] | None = None) -> int:
    """Run play_bag.

    Returns:
        The exit status: 0 played to the end, 1 error in bag, topics or subscribers, 130 stopped.
    """
    arguments = list(sys.argv if argv is None else ["play_bag", *argv])
    # remove_ros_args would take the rules of our own --remap for ROS arguments.
    own = arguments.index("--ros-args") if "--ros-args" in arguments else len(arguments)
    given = vars(play_bag_parser().parse_intermixed_args(arguments[1:own]))
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
    print(f"{'stopped after' if report.stopped else 'played'} {times}; ", end="")
    print(f"at most {report.latest * 1e3:.0f} ms behind")
    if report.damage:
        print(f"warning: {report.damage}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
