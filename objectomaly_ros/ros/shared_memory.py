"""Frees shared memory of dead processes; moves Fast DDS to UDP if its shared memory cannot work.

Fast DDS uses shared memory between all processes of a host. If one process cannot write into the
memory of another, because of its user or a small /dev/shm, images are lost without a word.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path

TRANSPORTS = "FASTDDS_BUILTIN_TRANSPORTS"
PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
OUR_TRANSPORT = "objectomaly_shm"  # in config/fastdds.xml
OUR_NEED = 72 * 2**20  # its segment with Fast DDS's own tables
DEFAULT_NEED = 2**20  # Fast DDS without a profile
_YOUNG_S = 10.0
SOCKET_BYTES = 4 * 2**20  # an image comes as a burst of datagrams: 50 of 50 at 720p, 13 without
UDP = f"UDPv4?sockets_size={SOCKET_BYTES // 2**20}MB"


def avoid_broken_shared_memory(
    environment: MutableMapping[str, str],
    folder: Path = Path("/dev/shm"),
    socket_limit: Path = Path("/proc/sys/net/core/rmem_max"),
    uid: int | None = None,
) -> str | None:
    """Choose UDP if shared memory cannot work; to be called before `rclpy.init`.

    A transport or a profile of the user's own is kept. Segments of dead processes are removed.

    Args:
        environment: `os.environ`.
        folder: Fast DDS's segments.
        socket_limit: file with the largest receive buffer of a socket.
        uid: user of this process.

    Returns:
        A warning with the reason and the remedy; None if shared memory is kept.
    """
    if environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")[:12] != "rmw_fastrtps":
        return None
    uid = os.getuid() if uid is None else uid
    dead_segments(folder, uid, remove=True)
    profiles = [environment[name] for name in PROFILES if environment.get(name)]
    if not all(map(_is_ours, profiles)):
        return None
    reason = None
    if not environment.get(TRANSPORTS):
        reason = problem(environment, folder, uid)
        if reason is None:
            return None
        environment[TRANSPORTS] = UDP
    for name in PROFILES:  # our profile's transports would win over the variable
        environment.pop(name, None)
    if reason is None:
        return None
    text = f"{reason}. Images go over UDP ({TRANSPORTS}={UDP})"
    if socket_limit.is_file() and int(socket_limit.read_text()) < SOCKET_BYTES:
        text += f"; large ones need: sysctl -w net.core.rmem_max={SOCKET_BYTES}"
    return text


def dead_segments(folder: Path, uid: int, *, remove: bool = False) -> int:
    """Count, and on request remove, the segments that killed processes of a user left, 64 MB each.

    A process holds a lock on the file `*_el` of its segment as long as it lives. It makes the file
    first and locks it then, so young files are left alone.
    """
    dead = 0
    for lock in folder.glob("fast*_el"):
        with suppress(OSError):  # such as BlockingIOError: it is in use
            if not re.fullmatch(r"fast(rtps|dds)_[0-9a-f]{16}_el", lock.name):
                continue
            handle = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                state = os.fstat(handle)
                if state.st_uid == uid and time.time() - state.st_mtime > _YOUNG_S:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    dead += 1
                    if remove:
                        lock.with_name(lock.name.removesuffix("_el")).unlink(missing_ok=True)
                        lock.unlink()
            finally:
                os.close(handle)
    return dead


def _is_ours(profile: str) -> bool:
    path = Path(profile)
    return path.is_file() and OUR_TRANSPORT in path.read_text(errors="replace")


def problem(environment: Mapping[str, str], folder: Path, uid: int) -> str | None:
    """Return why shared memory cannot work, and what to do; None if it can.

    Args:
        environment: of the process.
        folder: Fast DDS's segments.
        uid: user of the process.
    """
    need = OUR_NEED if any(environment.get(name) for name in PROFILES) else DEFAULT_NEED
    domain = environment.get("ROS_DOMAIN_ID") or "0"
    if not folder.is_dir():
        return None
    others = {
        path.lstat().st_uid
        for path in folder.glob("fast*_port*")
        if (port := re.fullmatch(r"fast(?:rtps|dds)_port(\d+)", path.name))
        and str((int(port[1]) - 7400) // 250) == domain  # as the RTPS standard numbers ports
    } - {uid}
    if others:
        return (
            f"Shared memory in {folder} belongs to user {', '.join(map(str, sorted(others)))}, and "
            f"user {uid} cannot write to it. Run all nodes as one user, and delete {folder}/fast* "
            "of former runs"
        )
    space = os.statvfs(folder)
    free = space.f_bavail * space.f_frsize
    if free < need:
        return (
            f"{folder} has {free / 2**20:.0f} MB free, but images need {need / 2**20:.0f} MB a "
            "process. In Docker give --shm-size=512m; elsewhere run: fastdds shm clean"
        )
    return None
