"""Callbacks and services that fail without ending the node."""

from __future__ import annotations

import ctypes
import functools
import time
import traceback
import types
from collections.abc import Callable, Generator
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.subscription import Subscription

from objectomaly_ros.runtime.log_text import describe


@types.coroutine
def give_way() -> Generator[None, None, None]:
    """Let the executor run other callbacks; for coroutines."""
    yield


PAUSE_S = 0.1  # after an error of the executor itself, which may recur at once


class ResilientExecutor(SingleThreadedExecutor):  # type: ignore[misc]  # rclpy is not typed
    """Spins on when a callback raises.

    Args:
        on_error: takes the origin ("subscription /image", "timer") and the error in words.
        on_unreadable: takes the topic of a message that is not of the topic's type.
    """

    def __init__(
        self,
        on_error: Callable[[str, str], None],
        on_unreadable: Callable[[str], None],
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self._on_error = on_error
        self._on_unreadable = on_unreadable

    def spin(self) -> None:
        """Execute callbacks until shutdown."""
        while self.context.ok() and not self._is_shutdown:
            try:
                self.spin_once()
            except ExternalShutdownException:
                return
            except Exception as error:
                if not self._is_shutdown:  # shutdown destroys the executor's guard conditions
                    self._on_error("executor", _described(error))
                    time.sleep(PAUSE_S)

    def _make_handler(self, entity: Any, node: Any, take_from_wait_list: Any) -> Any:
        """Catch the errors of a callback with its origin, and those of taking its message.

        After an error of taking, rclpy would never wait for the entity again.
        """

        def take(entity: Any) -> Any:
            try:
                execute = take_from_wait_list(entity)
            except Exception as error:
                return self._on_error(_origin(entity), _described(error))
            if execute is None and isinstance(entity, Subscription):
                _error_reset()()
                return self._on_unreadable(entity.topic_name)  # the middleware dropped it

            async def run() -> None:
                try:
                    await execute()
                except Exception as error:
                    self._on_error(_origin(entity), _described(error))

            return execute and run

        return super()._make_handler(entity, node, take)


@functools.cache
def _error_reset() -> Callable[[], Any]:
    """Return a function that forgets the middleware's last error.

    rclpy does not, so the next one prints both, at length.
    """
    try:
        reset: Callable[[], Any] = ctypes.CDLL("librcutils.so").rcutils_reset_error
    except (OSError, AttributeError):
        return lambda: None
    return reset


def _origin(entity: Any) -> str:
    kind = type(entity).__name__.lower()
    return f"{kind} {getattr(entity, 'topic_name', getattr(entity, 'srv_name', ''))}".strip()


def _described(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{describe(error)} ({frame.filename}:{frame.lineno})"


def refuse_bad_requests(node: Node, warn: Callable[[str, str], None]) -> None:
    """Refuse requests on which rclpy raises, in the answers of ROS's own services.

    rclpy raises on parameters of an unknown type; on Jazzy also on transitions not allowed now.
    """
    for service in node.services:
        if service.srv_type in (ChangeState, SetParameters, SetParametersAtomically):
            service.callback = _refusing(service, warn)


def _refusing(service: Any, warn: Callable[[str, str], None]) -> Callable[[Any, Any], Any]:
    callback, kind, name = service.callback, service.srv_type, service.srv_name

    def answer(request: Any, response: Any) -> Any:
        try:
            return callback(request, response)
        except Exception as error:
            warn(name, f"a request of service {name} is refused: {describe(error)}")
            refusal = SetParametersResult(successful=False, reason=describe(error))
            if kind is SetParametersAtomically:
                return kind.Response(result=refusal)
            return kind.Response(results=[refusal]) if kind is SetParameters else kind.Response()

    def answer_each(request: Any, response: Any) -> Any:
        for parameter in request.parameters:
            one = answer(SetParameters.Request(parameters=[parameter]), SetParameters.Response())
            response.results.append(one.results[0])
        return response

    return answer_each if kind is SetParameters else answer
