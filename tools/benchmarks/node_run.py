"""The real node in a process of its own, and a ROS node of ours that talks to it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class NodeRun:
    """A node under test.

    Attributes:
        process: of the node.
        checker: a ROS node of this process, in a context of its own.
        executor: holds `checker`; the caller spins it.
    """

    process: subprocess.Popen[bytes]
    checker: Any
    executor: Any

    def wait_until(self, ready: Callable[[], object]) -> None:
        """Wait for the node; raises SystemExit if it ends before it is ready."""
        while not ready():
            if self.process.poll() is not None:
                raise SystemExit("the node ended before it was ready, see above")
            time.sleep(0.1)

    def interrupt(self) -> None:
        """End the node as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10)


@contextmanager
def running_node(name: str, parameters: Sequence[str]) -> Iterator[NodeRun]:
    """Start the node with parameters ("name:=value") and a ROS node `name`; end both after."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    command = [sys.executable, "-m", "objectomaly_ros.ros.refine_node", "--ros-args"]
    for parameter in parameters:
        command += ["-p", parameter]
    process = subprocess.Popen(command)
    context = rclpy.Context()
    rclpy.init(context=context)
    executor = SingleThreadedExecutor(context=context)
    checker = rclpy.create_node(name, context=context)
    executor.add_node(checker)
    try:
        yield NodeRun(process, checker, executor)
    finally:
        process.kill()
        executor.shutdown()
        context.try_shutdown()
