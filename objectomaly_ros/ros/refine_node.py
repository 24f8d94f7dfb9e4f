"""The executable `refine_node`. Ctrl-C and SIGTERM end it within two seconds with exit code 0."""

from __future__ import annotations

import argparse
import faulthandler
import itertools
import os
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from objectomaly_ros import __version__
from objectomaly_ros.ros.topics import DIAGNOSTICS, INPUTS, OUTPUTS, Topic
from objectomaly_ros.runtime.environment import set_defaults

SIGNALS = {signal.SIGINT, signal.SIGTERM}

LOOK_S = 0.1  # between two looks for signals

PATIENCE_S = 1.4
"""Longest wait for busy threads after a signal; a model may be loading."""

_MAIN = ("detector.name", "detector.checkpoint", "masks.name", "device", "image_transport",
         "camera_names", "queue_size", "refine.every_n", "refine.propagation", "threshold.high",
         "min_area", "roi.mode", "points.base_frame", "points.camera_height")  # fmt: skip


WATCHDOG_S = 10.0
"""After a signal, the process ends by then at the latest, with the stacks of its threads."""


def main(args: list[str] | None = None) -> int:
    """Run the node until a signal, and end the process.

    Exit codes: 0 after a signal, 1 if the node ended by itself, 2 if it could not start.
    """
    _check_arguments(list(sys.argv if args is None else args)[1:])
    # A handler would interrupt the work half-way, so signals are blocked and looked for. Threads
    # inherit the block, so it comes before the imports that start threads.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    set_defaults()
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from objectomaly_ros.ros.executor import ResilientExecutor
    from objectomaly_ros.ros.node import ObjectomalyNode
    from objectomaly_ros.ros.shared_memory import avoid_broken_shared_memory

    warning = avoid_broken_shared_memory(os.environ)
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        node = ObjectomalyNode()
    except Exception as error:  # wrong ROS arguments, an unreadable parameter file
        print(f"refine_node: {error}", file=sys.stderr)
        return 2
    if warning is not None:
        node.get_logger().warning(warning)
    _check_parameter_files(sys.argv if args is None else args, node)
    executor = ResilientExecutor(node.report_fault, node.report_unreadable)
    executor.add_node(node)
    spinning = threading.Thread(target=executor.spin, name="executor", daemon=True)
    spinning.start()
    # Not sigtimedwait: interrupted by SIGSTOP, it returns a signal that was never sent (CPython).
    while not (received := signal.sigpending() & SIGNALS) and spinning.is_alive():
        spinning.join(LOOK_S)
    _end(node, executor, spinning, 0 if received else 1)


def _check_arguments(arguments: Sequence[str]) -> None:
    """End the process for --help, --version, and arguments that are not ROS's."""
    own: list[str] = []
    ros = False
    for argument in arguments:
        if argument == "--ros-args":
            ros = True
        elif not ros:
            own.append(argument)
        elif argument == "--":
            ros = False
    build_parser(bool({"-h", "--help"} & {*own})).parse_args(own)


def build_parser(explained: bool = True) -> argparse.ArgumentParser:
    """Return the parser of the arguments that are not ROS's; `explained` adds the parameters."""
    parser = argparse.ArgumentParser(
        prog="refine_node",
        usage="%(prog)s [-h] [--version] [--ros-args [--params-file FILE] [-p NAME:=VALUE] "
        "[-r OLD:=NEW] ...]",
        description="Finds obstacles that no training set named, in camera images.",
        epilog=f"{_topics()}\n{_main_parameters() if explained else ''}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def _topics() -> str:
    return "\n".join(
        [
            "topics in (remap them: -r image:=/camera/image_raw):",
            *map(_line, INPUTS),
            "",
            "topics out (~ is the node's name, /objectomaly):",
            *map(_line, (*OUTPUTS, DIAGNOSTICS)),
            "",
        ]
    )


def _line(topic: Topic) -> str:
    when = f" ({topic.when})" if topic.when else ""
    return f"  {topic.name:20} {topic.type}, {topic.content}{when}"


def _check_parameter_files(arguments: Sequence[str], node: Any) -> None:
    """Warn of files whose sections are all of other nodes; ROS says nothing."""
    from objectomaly_ros.ros.parameters import without_effect

    for option, path in itertools.pairwise(arguments):
        if option == "--params-file":
            with suppress(OSError, ValueError):  # ROS has read it
                told = without_effect(
                    Path(path).read_text("utf-8"), node.get_fully_qualified_name()
                )
                if told is not None:
                    node.get_logger().warning(f"parameter file {path} {told}")


def _main_parameters() -> str:
    from objectomaly_ros.ros.parameters import BY_NAME, UNSET

    lines = ["main parameters (all: config/embedded.yaml, ros2 param describe):"]
    for name in _MAIN:
        spec = BY_NAME[name]
        default = "" if spec.default in ("", UNSET) else f" Default: {spec.default}."
        lines += textwrap.wrap(
            spec.description + default,
            95,
            initial_indent=f"  {name:21}",
            subsequent_indent=" " * 23,
        )
    return "\n".join(lines)


def _end(node: Any, executor: Any, spinning: threading.Thread, code: int) -> NoReturn:
    import rclpy

    deadline = time.monotonic() + PATIENCE_S
    with suppress(Exception):  # stderr may be closed
        faulthandler.dump_traceback_later(WATCHDOG_S, exit=True)
    ended = node.stop(PATIENCE_S / 2)
    executor.shutdown(timeout_sec=0)
    spinning.join(max(0.0, deadline - time.monotonic()))
    if ended and not spinning.is_alive():
        node.destroy_node()
        rclpy.try_shutdown()
    # The interpreter's own end would take seconds for torch, and wait for libraries that compute.
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # it may be closed, or nobody reads it any more
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
