"""The executable `refine_node`. Ctrl-C and SIGTERM end it within two seconds with exit code 0."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any, NoReturn

from objectomaly_ros.runtime.environment import set_defaults

SIGNALS = {signal.SIGINT, signal.SIGTERM}

PATIENCE_S = 1.4
"""Longest wait for busy threads after a signal; a model may be loading."""


def main(args: list[str] | None = None) -> int:
    """Run the node until a signal, and end the process.

    Exit codes: 0 after a signal, 1 if the node ended by itself, 2 if it could not start.
    """
    # A handler would interrupt the work half-way, so signals are blocked and waited for. Threads
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
    executor = ResilientExecutor(node.report_fault)
    executor.add_node(node)
    spinning = threading.Thread(target=executor.spin, name="executor", daemon=True)
    spinning.start()
    received = None
    while received is None and spinning.is_alive():
        received = signal.sigtimedwait(SIGNALS, 0.2)
    _end(node, executor, spinning, 1 if received is None else 0)


def _end(node: Any, executor: Any, spinning: threading.Thread, code: int) -> NoReturn:
    import rclpy

    deadline = time.monotonic() + PATIENCE_S
    ended = node.stop(PATIENCE_S / 2)
    executor.shutdown(timeout_sec=0)
    spinning.join(max(0.0, deadline - time.monotonic()))
    if ended and not spinning.is_alive():
        node.destroy_node()
        rclpy.try_shutdown()
    # The interpreter's own end would take seconds for torch, and wait for libraries that compute.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
