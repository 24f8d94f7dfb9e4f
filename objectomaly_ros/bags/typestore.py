"""Message definitions for reading and writing bags without ROS.

rosbags brings the definitions of a whole distribution. This package's own messages come from its
.msg files, and any other from the share folders of a ROS installation where one is sourced, so that
a bag that is written here explains itself: every definition in it is complete, nested types
included.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
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
        BagError: the .msg files of this package are not to be found.
    """
    store = get_typestore(Stores.LATEST)
    for name in OWN_TYPES:
        register_type(store, f"{PACKAGE}/msg/{name}")
    return store


def store_from_definition(text: str, msgtype: str) -> Any:
    """Return a Typestore made from the definition that a bag carries for one of its types.

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
    """Make `msgtype` ("package/msg/Name") known to the store, with every type it is made of.

    Raises:
        BagError: no definition of it is on this machine.
    """
    missing = [msgtype]
    found: dict[str, Any] = {}
    while missing:
        name = missing.pop()
        if name in store.fielddefs or name in found:
            continue
        try:
            found.update(get_types_from_msg(_definition(name), name))
        except TypesysError as error:
            raise BagError(f"the definition of {name} cannot be parsed: {error}") from error
        missing += _used_types(found[name])
    if found:
        try:
            store.register(found)
        except TypesysError as error:
            raise BagError(f"the definition of {msgtype} cannot be used: {error}") from error


def _used_types(definition: Any) -> Iterator[str]:
    """Names of the message types in a rosbags type definition, a pair (constants, fields)."""
    for _, (kind, content) in definition[1]:
        if kind in (Nodetype.ARRAY, Nodetype.SEQUENCE):
            kind, content = content[0]
        if kind == Nodetype.NAME:
            yield content


def _definition(msgtype: str) -> str:
    package, _, name = msgtype.partition("/msg/")
    folders = list(_message_folders(package))
    for folder in folders:
        path = folder / f"{name}.msg"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    looked = (
        ", ".join(str(folder) for folder in folders) or "no folder: AMENT_PREFIX_PATH is not set"
    )
    raise BagError(
        f"no definition of message type {msgtype} (looked in {looked}); "
        f"source the workspace that holds the package {package!r}"
    )


def _message_folders(package: str) -> Iterable[Path]:
    here = Path(__file__).resolve()
    if package == PACKAGE:
        yield here.parents[2] / "msg"  # the repository
        for prefix in here.parents[
            2:
        ]:  # installed: PREFIX/lib/pythonX/site-packages/objectomaly_ros
            folder = prefix / "share" / PACKAGE / "msg"
            if folder.is_dir():
                yield folder
    for sourced in filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)):
        yield Path(sourced) / "share" / package / "msg"
