"""Models by name: finds their constructors, and refuses wrong options before weights are read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from os import PathLike
from typing import Any

from objectomaly_ros.models.options import check_types

_GIVEN = {"checkpoint", "device"}  # by the loaders, never as an option
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def find_constructor(kind: str, name: str, known: Mapping[str, str]) -> Callable[..., Any]:
    """Return the constructor of the model `name`.

    Args:
        kind: `detector` or `mask generator`, for the message.
        name: a key of `known`, or "module:Class".
        known: name -> "module:constructor".

    Raises:
        ValueError: the name is unknown.
        ImportError: the module does not import, or has no such class.
    """
    module_name, _, attribute = known.get(name, name).partition(":")
    if not module_name or not attribute:
        raise ValueError(
            f"unknown {kind} {name!r}; known: {', '.join(sorted(known))}, or 'module:Class' for "
            "your own"
        )
    module = import_module(module_name)
    try:
        constructor: Callable[..., Any] = getattr(module, attribute)
    except AttributeError as error:
        raise ImportError(f"module {module_name!r} has no {attribute!r}") from error
    return constructor


def construct(
    name: str,
    constructor: Callable[..., Any],
    checkpoint: str | PathLike[str] | None,
    device: str,
    options: Mapping[str, Any],
) -> Any:
    """Call a constructor with its options, and of checkpoint and device with those it takes.

    Raises:
        TypeError: it does not know an option or the checkpoint that is given, needs another option,
            or takes another type.
    """
    check_options(name, options, constructor)
    check_types(name, options, constructor)
    given = {"checkpoint": checkpoint, "device": device}
    parameters = _parameters(constructor)
    if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        taken = {parameter.name for parameter in parameters if parameter.kind in _BY_NAME}
        if checkpoint is not None and "checkpoint" not in taken:
            raise TypeError(f"{name} takes no checkpoint, but {checkpoint} is given as one")
        given = {key: value for key, value in given.items() if key in taken}
    try:
        return constructor(**given, **options)
    except TypeError as error:
        if not options:
            raise
        shown = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise TypeError(f"{name} with the options {shown}: {error}") from error


def _parameters(constructor: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(constructor).parameters.values())
    except (TypeError, ValueError):  # written in C, or not callable: the call will tell
        return [inspect.Parameter("anything", inspect.Parameter.VAR_KEYWORD)]


def check_options(name: str, given: Iterable[str], constructor: Callable[..., Any]) -> None:
    """Raise a TypeError if a constructor does not know an option, or needs another one.

    Args:
        name: of the model, for the message.
        given: the options' names.
        constructor: takes (checkpoint, device, **options). If it passes options on, their receiver
            must refuse unknown ones (`refuse_unknown`).
    """
    parameters = _parameters(constructor)
    given = set(given)
    options = [p for p in parameters if p.kind in _BY_NAME and p.name not in _GIVEN]
    if all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        refuse_unknown(name, given, [option.name for option in options])
    needed = [p.name for p in options if p.default is inspect.Parameter.empty]
    missing = [option for option in needed if option not in given]
    if missing:
        raise TypeError(f"{name} needs the option {', '.join(missing)}")


def refuse_unknown(name: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise a TypeError that lists the options `known` of a model if another one is given."""
    known = sorted(known)
    unknown = sorted(set(given).difference(known))
    if unknown:
        has = f"it has {', '.join(known)}" if known else "it has none"
        raise TypeError(f"{name} has no option {', '.join(unknown)}; {has}")


def keyword_options(function: Callable[..., Any]) -> list[str]:
    """Return the names of a function's keyword-only parameters: the options of our models."""
    return [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
