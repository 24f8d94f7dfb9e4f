"""Declares the node's parameters and checks their changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from objectomaly_ros.ros.parameters import BY_NAME, SPECS, Spec, Value, checked, unknown


class ParameterServer:
    """Holds the checked values of all parameters.

    A wrong value at start does not end the node. It is replaced by the default and described in
    `problems`, and the node does not configure before it is set right.

    Args:
        node: declares the parameters.
        on_change: takes all values of a change at run time; its ValueError rejects the change.
    """

    def __init__(self, node: Node, on_change: Callable[[Mapping[str, Any]], None]) -> None:
        self.values: dict[str, Any] = {}
        self.problems: dict[str, str] = {}
        self._on_change = on_change
        for spec in SPECS:
            self.values[spec.name] = self._declare(node, spec)
        node.add_pre_set_parameters_callback(lambda wanted: [*map(_converted, wanted)])
        node.add_on_set_parameters_callback(self._set)
        for name in node._parameter_overrides:  # rclpy offers them nowhere else
            if not (node.has_parameter(name) or name.startswith("qos_overrides.")):
                node.get_logger().warning(unknown(name))

    def _declare(self, node: Node, spec: Spec) -> Value:
        descriptor, overrides = _descriptor(spec), node._parameter_overrides
        if spec.name in overrides:
            overrides[spec.name] = _converted(overrides[spec.name])
        try:
            given = node.declare_parameter(spec.name, spec.default, descriptor).value
            return checked(spec, given)
        except (ValueError, InvalidParameterTypeException, InvalidParameterValueException) as error:
            self.problems[spec.name] = str(error)
            if not node.has_parameter(spec.name):
                node.declare_parameter(spec.name, spec.default, descriptor, ignore_override=True)
            return spec.default

    def _set(self, parameters: list[Parameter]) -> SetParametersResult:
        wanted = dict(self.values)
        ours = [parameter for parameter in parameters if parameter.name in BY_NAME]
        try:
            for parameter in ours:
                wanted[parameter.name] = checked(BY_NAME[parameter.name], parameter.value)
            if ours:
                self._on_change(wanted)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self.values = wanted
        for parameter in ours:
            self.problems.pop(parameter.name, None)
        return SetParametersResult(successful=True)


_TYPES = {
    bool: (Parameter.Type.BOOL, Parameter.Type.BOOL_ARRAY),
    int: (Parameter.Type.INTEGER, Parameter.Type.INTEGER_ARRAY),
    float: (Parameter.Type.DOUBLE, Parameter.Type.DOUBLE_ARRAY),
    str: (Parameter.Type.STRING, Parameter.Type.STRING_ARRAY),
}


def _converted(parameter: Parameter) -> Parameter:
    """Return a parameter in the type of its default: 7 as 7.0; a wrong value as it is."""
    spec = BY_NAME.get(parameter.name)
    if spec is None:
        return parameter
    try:
        value = checked(spec, parameter.value)
    except ValueError:
        return parameter  # to be refused
    several = isinstance(spec.default, list)
    kind = type(spec.default[0]) if isinstance(spec.default, list) else type(spec.default)
    return Parameter(parameter.name, _TYPES[kind][several], value)


def _descriptor(spec: Spec) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        name=spec.name,
        description=spec.description,
        read_only=spec.read_only,
        # `_converted` keeps the type; rclpy alone would refuse `threshold.high: 1`.
        dynamic_typing=True,
        additional_constraints=f"one of: {', '.join(spec.choices)}" if spec.choices else "",
    )
    if spec.low is None or spec.high is None:
        return descriptor
    if isinstance(spec.default, float):
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=spec.low, to_value=spec.high, step=0.0)
        ]
    else:
        descriptor.integer_range = [
            IntegerRange(from_value=int(spec.low), to_value=int(spec.high), step=0)
        ]
    return descriptor
