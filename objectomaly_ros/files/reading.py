"""Reads files that somebody else made: regular files only, bounded sizes, plain YAML."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

import yaml

_MAX_DEPTH = 20
_MAX_EVENTS = 200_000
_LONG_NUMBER = re.compile(r"[\s\d_:.+-]{101,}")
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads 8e-1 as a number, as YAML 1.2 and JSON do."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def regular_file(path: str | os.PathLike[str]) -> Path:
    """Return the path if it is that of a file: opening a named pipe or a device may hang.

    Raises:
        OSError: there is nothing at `path`, or something else than a regular file.
    """
    path = Path(path)
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "no regular file")
        raise OSError(f"cannot read {path}: it is {kind}; give a regular file")
    return path


def read_bytes(path: str | os.PathLike[str], limit: int) -> bytes:
    """Read a file of at most `limit` bytes.

    Raises:
        OSError: as of `regular_file`, or the file cannot be read.
        ValueError: it is larger.
    """
    path = regular_file(path)
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        size = max(path.stat().st_size, len(data))
        raise ValueError(f"cannot read {path}: it has {size} bytes; the limit is {limit}")
    return data


def parse_yaml(text: str, limit: int) -> Any:
    """Parse YAML that somebody else wrote, in linear time and memory.

    Raises:
        ValueError: it has more than `limit` characters, deep nesting, aliases or more than
            `_MAX_EVENTS` parts, a number of more than 100 digits, or is no YAML.
    """
    if len(text) > limit:
        raise ValueError(f"the YAML has {len(text)} characters; the limit is {limit}")
    depth = 0
    try:
        # Constructing recurses: deep nesting would overflow the stack, and merged aliases multiply.
        for number, event in enumerate(yaml.parse(text, Loader=_Loader)):
            if number > _MAX_EVENTS:
                raise ValueError(f"the YAML has more than {_MAX_EVENTS} parts")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH:
                raise ValueError(f"the YAML nests deeper than {_MAX_DEPTH} levels")
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("the YAML has aliases, which are not accepted")
            # Numbers may be to base 60 (1:00:00); long ones take hours.
            if isinstance(event, yaml.ScalarEvent) and _LONG_NUMBER.fullmatch(event.value):
                raise ValueError(f"the YAML has a number of {len(event.value)} digits")
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"no YAML: {error}") from error
    except (ArithmeticError, AttributeError, LookupError) as error:  # of `!!bool x` and others
        raise ValueError(f"no YAML: {error!r}") from error


def printable(text: str) -> str:
    """Return text with its control characters escaped, which a terminal would obey."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
