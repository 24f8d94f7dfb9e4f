"""Options of models: read from text, and checked against what their constructors declare."""

from __future__ import annotations

import functools
import inspect
import math
import os
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from objectomaly_ros.files.reading import parse_yaml

_MAX_TEXT = 2**16  # characters of a value
_CONSTANTS = {"true": True, "false": False, "null": None, "~": None, "": None}
_INTEGER = re.compile(r"[-+]?\d{1,100}", re.ASCII)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE | re.ASCII)
_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    types.NoneType: "null",
}


def parse_option(entry: str) -> tuple[str, Any]:
    """Return the name and the value of `key=value`.

    A value is a number, true, false, null, a [list] or {mapping} of YAML, a "quoted" text, or else
    the text itself.

    Raises:
        ValueError: the entry has another form, or the value is too long or no YAML.
    """
    key, equals, text = entry.partition("=")
    if not equals or not key.strip().isidentifier():
        raise ValueError(f"option {entry[:100]!r} is not of the form key=value")
    try:
        return key.strip(), _parse_value(text.strip())
    except (ValueError, TypeError) as error:
        raise ValueError(f"option {entry[:100]!r}: {text[:100]!r} cannot be read") from error


def _parse_value(text: str) -> Any:
    if len(text) > _MAX_TEXT:
        raise ValueError(f"the limit is {_MAX_TEXT} characters")
    if text.lower() in _CONSTANTS:
        return _CONSTANTS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        number = float(text)
        if math.isinf(number):
            raise ValueError("it is too large a number")
        return number
    return parse_yaml(text, _MAX_TEXT) if text[0] in "[{\"'" else text


def check_types(name: str, options: Mapping[str, Any], *receivers: Callable[..., Any]) -> None:
    """Raise a TypeError that names an option, its value and what its receivers want instead.

    Args:
        name: of the model, for the message.
        options: by name; those that no receiver declares are passed over.
        receivers: classes and functions with annotated parameters. Without an annotation, a number
            as default refuses texts and null.
    """
    for receiver in receivers:
        for option, wanted in _declared(receiver).items():
            if option in options and not any(_fits(options[option], one) for one in wanted):
                words = " or ".join(dict.fromkeys(map(_in_words, wanted)))
                raise TypeError(f"{name}: option {option} is {options[option]!r}; want {words}")


def _declared(receiver: Callable[..., Any]) -> dict[str, list[Any]]:
    """Return the types that each parameter takes, of those that do not take anything."""
    while isinstance(receiver, functools.partial):
        receiver = receiver.func
    function = receiver.__init__ if isinstance(receiver, type) else receiver  # type: ignore[misc]
    try:
        parameters = inspect.signature(function).parameters
        hints = get_type_hints(function)
    except (TypeError, ValueError, NameError):  # written in C, or types known to checkers alone
        return {}
    declared = {}
    for key, parameter in parameters.items():
        wanted = list(_alternatives(hints.get(key, Any)))
        if key not in hints and type(parameter.default) in (bool, int, float):
            wanted = [float, bool, list]  # a guess, but texts and null would fail later
        if Any not in wanted:
            declared[key] = wanted
    return declared


def _alternatives(hint: Any) -> Iterator[Any]:
    """Give scalar types and lists, and Any for all else."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        for one in get_args(hint):
            yield from _alternatives(one)
    elif origin is Literal:
        yield from map(type, get_args(hint))  # which texts are allowed, the receiver tells
    elif hint in _WORDS:
        yield hint
    elif isinstance(origin, type) and issubclass(origin, Sequence):
        yield hint if get_args(hint)[0] in _WORDS else list
    elif hint in (os.PathLike, Path) or origin is os.PathLike:
        yield str
    else:
        yield Any


def _fits(value: Any, wanted: Any) -> bool:
    if type(value) not in (*_WORDS, dict):
        return True  # given in Python
    if get_origin(wanted) is not None:
        return type(value) is list and all(_fits(item, get_args(wanted)[0]) for item in value)
    return type(value) is wanted or (wanted is float and type(value) is int)


def _in_words(wanted: Any) -> str:
    if get_origin(wanted) is not None:
        return f"a list of {_WORDS[get_args(wanted)[0]].removeprefix('a ')}s"
    return _WORDS[wanted]
