"""Other processes of this machine, as /proc shows them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def processor_s(pid: int) -> float:
    """Return seconds of processor time that a process has taken, without its children."""
    fields = _fields(Path(f"/proc/{pid}/stat"))
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int | str, line: str = "VmRSS:") -> int:
    """Return bytes of memory that a process uses now; "VmHWM:" for its peak."""
    for text in Path(f"/proc/{pid}/status").read_text().splitlines():
        if text.startswith(line):
            return int(text.split()[1]) * 1024
    return 0  # it has ended


def descendants(pid: int) -> list[int]:
    """Return the children of a process, their children, and so on."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            parent = int(_fields(path)[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found[1:]


def _fields(path: Path) -> list[str]:
    """Return the fields of a file `stat` after the name of the program, which may have spaces."""
    return path.read_text().rpartition(")")[2].split()
