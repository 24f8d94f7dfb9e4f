"""Cores, memory, disk and the middleware of ROS on this machine."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from objectomaly_ros.checkpoints.table import TABLE
from objectomaly_ros.doctor.findings import Finding

PYTHONS = ((3, 11), (3, 14))
"""The oldest and the newest Python that are supported."""

DISTROS = ("jazzy", "kilted")
_LARGEST_CHECKPOINT = max(checkpoint.size or 0 for checkpoint in TABLE.values())
_LEAST_MEMORY = 2**30  # free bytes: the node and its mask process take 0.6 GB


@dataclass(frozen=True)
class Machine:
    """What is known of the machine.

    Attributes:
        python: version of the interpreter.
        executable: its path.
        processor: kind of processor, such as x86_64.
        cores: that this process may use.
        quota: cores that a container's limit gives; None without a limit.
        memory: free bytes.
    """

    python: tuple[int, int, int]
    executable: str
    processor: str
    cores: int
    quota: float | None
    memory: int

    @classmethod
    def here(cls, cgroup: Path = Path("/sys/fs/cgroup")) -> Machine:
        """Look at this machine."""
        version = sys.version_info
        return cls(
            (version.major, version.minor, version.micro),
            sys.executable,
            platform.machine(),
            len(os.sched_getaffinity(0)),
            _quota(cgroup / "cpu.max"),
            _free_memory(),
        )


def _quota(path: Path) -> float | None:
    """Read a limit of cgroup v2: `max 100000`, or microseconds per period."""
    try:
        limit, period = path.read_text().split()
        return int(limit) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _free_memory() -> int:
    """Return the bytes that can be used without swapping."""
    try:
        text = Path("/proc/meminfo").read_text()
        lines = dict(line.split(":") for line in text.splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def machine_findings(machine: Machine, environment: Mapping[str, str]) -> list[Finding]:
    """Report on Python, cores, threads and memory."""
    return [
        _python(machine),
        _cores(machine),
        *_threads(machine, environment.get("OMP_NUM_THREADS")),
        _memory(machine.memory),
    ]


def _python(machine: Machine) -> Finding:
    text = f"{'.'.join(map(str, machine.python))} in {machine.executable}"
    oldest, newest = (".".join(map(str, version)) for version in PYTHONS)
    if machine.python[:2] < PYTHONS[0]:
        return Finding("error", "Python", f"{text} is too old", f"use Python {oldest} to {newest}")
    if machine.python[:2] > PYTHONS[1]:
        return Finding("warning", "Python", f"{text} is not tried", f"use {oldest} to {newest}")
    return Finding("ok", "Python", text)


def _cores(machine: Machine) -> Finding:
    found = f"{machine.cores} for this process ({machine.processor})"
    if machine.quota is not None and machine.quota < machine.cores:
        return Finding(
            "warning",
            "cores",
            f"{found}, but the container's limit is {machine.quota:g}: threads wait for each other",
            f"set OMP_NUM_THREADS={max(1, int(machine.quota))}, or raise the limit (--cpus)",
        )
    if machine.cores < 2:
        return Finding(
            "warning",
            "cores",
            f"{found}: the detector and what follows it share one core",
            "give it two, or lower the detector's input_size",
        )
    return Finding("ok", "cores", found)


def _threads(machine: Machine, given: str | None) -> list[Finding]:
    if not given:
        return []
    count = _number(given)
    if not 0 < count <= machine.cores:
        return [
            Finding(
                "warning",
                "OMP_NUM_THREADS",
                f"{given!r} is no number from 1 to {machine.cores}, the cores of this process",
                "unset it, or set it to the number of cores",
            )
        ]
    return [Finding("ok", "OMP_NUM_THREADS", f"{count}: the detector uses so many threads")]


def _number(text: str) -> int:
    """Return a number of at most nine digits; -1 for any other text."""
    return int(text) if text.isdecimal() and len(text) < 10 else -1


def _memory(free: int) -> Finding:
    found = f"{free / 2**30:.1f} GB free"
    if free < _LEAST_MEMORY:
        return Finding(
            "warning", "memory", f"{found}, and the node needs about 1 GB", "end other programs"
        )
    return Finding("ok", "memory", found)


def cache_findings(folder: Path) -> list[Finding]:
    """Report on the disk of the folder of downloaded checkpoints."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    remedy = "set OBJECTOMALY_CACHE to a folder on another disk"
    if not os.access(there, os.W_OK | os.X_OK):
        found = f"{folder}: user {os.getuid()} cannot write to {there}"
        return [Finding("warning", "cache", found, remedy)]
    free = shutil.disk_usage(there).free
    found = f"{folder}, {free / 1e9:.1f} GB free"
    if free < _LARGEST_CHECKPOINT:
        found += f"; the largest checkpoint has {_LARGEST_CHECKPOINT / 1e9:.1f} GB"
        return [Finding("warning", "cache", found, remedy)]
    return [Finding("ok", "cache", found)]


_LARGEST_DOMAIN = 232
_EPHEMERAL = range(102, 215)  # domains whose ports Linux gives to others, too
_PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")


def middleware_findings(
    environment: Mapping[str, str], middleware: str, shared_memory: str | None, dead: int
) -> list[Finding]:
    """Report on the environment of ROS nodes.

    Args:
        environment: of this process.
        middleware: that rclpy uses; empty if it is not known.
        shared_memory: why Fast DDS's shared memory cannot work; None if it can.
        dead: segments in shared memory that killed processes left.
    """
    found = [*_distro(environment.get("ROS_DISTRO", "")), _domain(environment)]
    found += _discovery(environment)
    if middleware and not middleware.startswith("rmw_fastrtps"):
        return found
    found += _fast_dds(environment)
    if shared_memory is not None:
        text, _, remedy = shared_memory.partition(". ")
        found.append(Finding("warning", "shared memory", f"{text}: nodes take UDP", remedy))
    elif dead:
        found.append(
            Finding(
                "warning",
                "shared memory",
                f"killed processes left {dead} segments of Fast DDS in /dev/shm",
                "fastdds shm clean; refine_node removes those of its user when it starts",
            )
        )
    else:
        found.append(Finding("ok", "shared memory", "has room for images"))
    return found


def _distro(distro: str) -> list[Finding]:
    if not distro:
        return [Finding("warning", "ROS_DISTRO", "is not set", "source the setup.bash of ROS")]
    if distro not in DISTROS:
        return [
            Finding(
                "warning",
                "ROS_DISTRO",
                f"{distro}: tested are {' and '.join(DISTROS)}",
                "see that the messages were built for it: colcon build",
            )
        ]
    return [Finding("ok", "ROS_DISTRO", distro)]


def _domain(environment: Mapping[str, str]) -> Finding:
    name, text = "ROS_DOMAIN_ID", environment.get("ROS_DOMAIN_ID", "")
    if not text:
        return Finding("ok", name, "not set: 0, with all nodes of the network that do not set it")
    number = _number(text)
    if not 0 <= number <= _LARGEST_DOMAIN:
        found = f"{text!r} is no number from 0 to {_LARGEST_DOMAIN}: no node starts"
        return Finding("error", name, found, "set it to a number from 0 to 101")
    if number in _EPHEMERAL:
        found = f"{number}: Linux gives ports of the domains 102 to 214 to other programs, too"
        return Finding("warning", name, found, "set it to a number from 0 to 101")
    return Finding("ok", name, f"{number}: only nodes with the same number are seen")


def _discovery(environment: Mapping[str, str]) -> list[Finding]:
    found = []
    reach = environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "").upper()
    if reach == "OFF":
        found.append(
            Finding(
                "warning",
                "discovery",
                "ROS_AUTOMATIC_DISCOVERY_RANGE=OFF: nodes find each other only by "
                f"ROS_STATIC_PEERS ({environment.get('ROS_STATIC_PEERS') or 'not set'})",
                "unset it for nodes that shall find each other",
            )
        )
    elif reach == "LOCALHOST" or environment.get("ROS_LOCALHOST_ONLY") == "1":
        found.append(Finding("ok", "discovery", "only nodes of this machine are seen"))
    if server := environment.get("ROS_DISCOVERY_SERVER"):
        found.append(
            Finding("ok", "discovery", f"by the server {server}; nodes without it are not seen")
        )
    return found


def _fast_dds(environment: Mapping[str, str]) -> list[Finding]:
    files = {name: environment[name] for name in _PROFILES if environment.get(name)}
    gone = [f"{name}={path}" for name, path in files.items() if not Path(path).is_file()]
    if gone:
        return [
            Finding(
                "warning",
                "Fast DDS profile",
                f"{', '.join(gone)}: there is no such file, so larger images get lost",
                "set it to config/fastdds.xml of this package, or unset it",
            )
        ]
    if transports := environment.get("FASTDDS_BUILTIN_TRANSPORTS"):
        return [Finding("ok", "Fast DDS transports", transports)]
    if files:
        return [Finding("ok", "Fast DDS profile", next(iter(files.values())))]
    return [
        Finding(
            "warning",
            "Fast DDS profile",
            "none: its shared memory of 512 KB loses larger images between processes. The launch "
            "files set one for the node, not for the camera driver",
            f"for the driver set {_PROFILES[0]} (on Jazzy {_PROFILES[1]}) to config/fastdds.xml",
        )
    ]
