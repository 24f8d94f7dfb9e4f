"""Message definitions without ROS, complete with all nested types.

rosbags has those of a whole distribution, the .msg files of this package its own, and a sourced ROS
installation any other.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore

from objectomaly_ros.bags.errors import BagError

PACKAGE = "objectomaly_ros"
MAX_DEFINITION, MAX_FIELDS = 2**18, 2000
OWN_TYPES = ("Obstacle", "ObstacleArray", "RefinementStatus")


def make_typestore() -> Any:
    """Return a rosbags Typestore that knows the types of ROS 2 and this package's own.

    Raises:
        BagError: the .msg files of this package are missing.
    """
    store = get_typestore(Stores.LATEST)
    for name in OWN_TYPES:
        register_type(store, f"{PACKAGE}/msg/{name}")
    return store


def store_from_definition(text: str, msgtype: str) -> Any:
    """Return a Typestore of one type, by the definition that a bag carries.

    Args:
        text: the definition in msg form, with those of all nested types.
        msgtype: "package/msg/Name".

    Raises:
        BagError: the definition is too large. rosbags compiles code for each field, and for each
            element of a fixed array of strings or messages.
        TypesysError: the definition cannot be parsed.
    """
    if len(text) > MAX_DEFINITION:
        raise BagError(f"its definition has {len(text)} characters; the limit is {MAX_DEFINITION}")
    types = get_types_from_msg(text, msgtype)
    fields = sum(_compiled(field) for _, fields in types.values() for _, field in fields)
    if fields > MAX_FIELDS:
        raise BagError(f"its definition has {fields} fields; the limit is {MAX_FIELDS}")
    store = get_typestore(Stores.EMPTY)
    store.register(types)
    return store


def _compiled(field: Any) -> int:
    kind, content = field
    if kind != Nodetype.ARRAY:
        return 1
    (inner, name), length = content
    return 1 if inner == Nodetype.BASE and name[0] != "string" else int(length)


def register_type(store: Any, msgtype: str) -> None:
    """Add a type ("package/msg/Name") and all types nested in it to the store.

    Raises:
        BagError: no definition of it is on this machine.
    """
    missing = [msgtype]
    found: dict[str, Any] = {}
    try:
        while missing:
            name = missing.pop()
            if name in store.fielddefs or name in found:
                continue
            found.update(get_types_from_msg(_definition(name), name))
            _, fields = found[name]
            for _, (kind, content) in fields:
                if kind in (Nodetype.ARRAY, Nodetype.SEQUENCE):
                    kind, content = content[0]
                if kind == Nodetype.NAME:
                    missing.append(content)
        if found:
            store.register(found)
    except TypesysError as error:
        raise BagError(f"the definition of {msgtype} cannot be used: {error}") from error


def _definition(msgtype: str) -> str:
    package, _, name = msgtype.partition("/msg/")
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    folders = [Path(prefix) / "share" / package / "msg" for prefix in prefixes if prefix]
    if package == PACKAGE:  # the checkout's, or the one below PREFIX/lib/python3/site-packages
        above = Path(__file__).resolve().parents[2:]
        folders = [above[0] / "msg", *(up / "share" / PACKAGE / "msg" for up in above), *folders]
    for folder in folders:
        path = folder / f"{name}.msg"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    looked = ", ".join(map(str, folders)) or "no folder: AMENT_PREFIX_PATH is not set"
    raise BagError(
        f"no definition of message type {msgtype} (looked in {looked}); "
        f"source the workspace that holds the package {package!r}"
    )
