"""Pauses a replay: by the space bar, and by the service ~/pause."""

from __future__ import annotations

import os
import select
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import SetBool

_LOOK_S = 0.1  # between looks whether the replay has ended


@contextmanager
def pausing(
    node: Node, pause: Callable[[bool], None], paused: Callable[[], bool]
) -> Iterator[None]:
    """Let a person or a program pause a replay while the `with` block runs.

    Args:
        node: has the service; it is spun in here.
        pause: pauses the replay, or lets it go on.
        paused: returns whether it pauses.
    """
    ended = threading.Event()

    def serve(request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        pause(request.data)
        response.success, response.message = True, "paused" if request.data else "playing"
        return response

    node.create_service(SetBool, "~/pause", serve)
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)

    def spin() -> None:
        with suppress(ExternalShutdownException):
            while not ended.is_set():
                executor.spin_once(timeout_sec=_LOOK_S)

    threads = [threading.Thread(target=spin, daemon=True)]
    with _single_keys() as keys:
        if keys is not None:
            node.get_logger().info("space pauses and goes on")
            arguments = (keys, lambda: pause(not paused()), ended)
            threads.append(threading.Thread(target=_watch, args=arguments, daemon=True))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join()


def _watch(keys: int, toggle: Callable[[], None], ended: threading.Event) -> None:
    while not ended.is_set():
        if select.select([keys], [], [], _LOOK_S)[0]:
            pressed = os.read(keys, 1)
            if not pressed:  # the terminal is gone
                return
            if pressed == b" ":
                toggle()


@contextmanager
def _single_keys() -> Iterator[int | None]:
    """Yield the terminal, set to hand out each key at once; None without one."""
    try:
        keys = sys.stdin.fileno()
        if os.tcgetpgrp(keys) != os.getpgrp():  # a job in the background would be stopped
            raise OSError
        before = termios.tcgetattr(keys)
    except (AttributeError, OSError, ValueError, termios.error):
        yield None
        return
    try:
        tty.setcbreak(keys)
        yield keys
    finally:
        termios.tcsetattr(keys, termios.TCSADRAIN, before)
