"""When the node leaves Fast DDS's shared memory; segments and limits are plain files here."""

import fcntl
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from objectomaly_ros.ros import shared_memory
from objectomaly_ros.ros.shared_memory import PROFILES, TRANSPORTS, UDP, avoid_broken_shared_memory

OURS = str(Path(__file__).parents[2] / "config" / "fastdds.xml")
MB = 2**20


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Chooses UDP or not on a machine with so much free shared memory and these files in it."""
    folder, limit = tmp_path / "shm", tmp_path / "rmem_max"
    folder.mkdir()

    def go(environment, files=(), free=1000 * MB, uid=None, socket_bytes=8 * MB):
        for name in files:
            (folder / name).touch()
        limit.write_text(f"{socket_bytes}\n")
        monkeypatch.setattr(
            shared_memory.os, "statvfs", lambda path: SimpleNamespace(f_bavail=free, f_frsize=1)
        )
        return avoid_broken_shared_memory(environment, folder, limit, uid)

    return go


def ours(**more):
    return {**dict.fromkeys(PROFILES, OURS), **more}


def test_shared_memory_that_works_is_kept(machine):
    environment = ours()
    assert machine(environment, ["fastrtps_port7411", "fastdds_0123456789abcdef"]) is None
    assert environment == ours()


def test_a_small_dev_shm_is_avoided(machine):
    environment = ours()
    told = machine(environment, free=64 * MB)
    assert environment == {TRANSPORTS: UDP}
    assert "64 MB free, but images need 72 MB a process" in told
    assert "--shm-size=512m" in told
    assert "sysctl" not in told


def test_fast_dds_without_a_profile_needs_little(machine):
    environment = {}
    assert machine(environment, free=64 * MB) is None
    assert environment == {}
    assert machine(environment, free=0) is not None
    assert environment == {TRANSPORTS: UDP}


@pytest.mark.parametrize("kind", ["fastrtps", "fastdds"])
@pytest.mark.parametrize("state", ["dead", "alive", "young", "another user's", "a port"])
def test_segments_of_dead_processes_are_removed(machine, tmp_path, kind, state):
    name = f"{kind}_port7411" if state == "a port" else f"{kind}_0123456789abcdef"
    folder = tmp_path / "shm"
    segment, lock = folder / name, folder / f"{name}_el"
    for path in (segment, lock):
        path.touch()
        if state != "young":
            os.utime(path, (0, 0))
    with lock.open() as file:
        if state == "alive":
            fcntl.flock(file, fcntl.LOCK_EX)
        machine(ours(), uid=os.getuid() + (state == "another user's"))
    assert segment.exists() == lock.exists() == (state != "dead")


def test_locks_that_lead_elsewhere_are_left(machine, tmp_path):
    target = tmp_path / "target"
    target.touch()
    os.utime(target, (0, 0))
    lock = tmp_path / "shm" / "fastrtps_0123456789abcdef_el"
    lock.symlink_to(target)
    os.mkfifo(tmp_path / "shm" / "fastrtps_0123456789abcdee_el")
    machine(ours())
    assert lock.is_symlink()
    assert target.exists()


@pytest.mark.parametrize("name", ["fastrtps_port7411", "fastdds_port7649"])
def test_another_users_ports_in_our_domain_are_avoided(machine, name):
    environment = ours()
    told = machine(environment, [name, "fastrtps_port7413_el"], uid=os.getuid() + 1)
    assert environment == {TRANSPORTS: UDP}
    assert f"belongs to user {os.getuid()}, and user {os.getuid() + 1} cannot" in told


@pytest.mark.parametrize(
    ("name", "domain"),
    [("fastrtps_port7411", "1"), ("fastrtps_port7650", "0"), ("fastdds_port9900", "9"),
     ("fastrtps_0123456789abcdef", "0"), ("fastrtps_port7411", "seven")],
)  # fmt: skip
def test_another_users_files_of_other_domains_do_not_matter(machine, name, domain):
    environment = ours(ROS_DOMAIN_ID=domain)
    assert machine(environment, [name], uid=os.getuid() + 1) is None
    assert environment == ours(ROS_DOMAIN_ID=domain)


def test_the_domain_is_read_from_the_environment(machine):
    environment = ours(ROS_DOMAIN_ID="10")
    assert machine(environment, ["fastdds_port9900"], uid=os.getuid() + 1) is not None


def test_small_socket_buffers_are_told(machine):
    assert "sysctl -w net.core.rmem_max=4194304" in machine(ours(), free=0, socket_bytes=212992)


def test_what_the_user_chose_is_kept(machine, tmp_path):
    profile = tmp_path / "mine.xml"
    profile.write_text("<dds/>")
    for environment in (
        {PROFILES[0]: str(profile)},
        {PROFILES[0]: "/nowhere.xml"},
        {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"},
    ):
        before = dict(environment)
        assert machine(environment, ["fastrtps_port7411"], free=0, uid=os.getuid() + 1) is None
        assert environment == before


def test_a_transport_that_the_user_chose_wins_over_our_profile(machine):
    environment = ours(**{TRANSPORTS: "LARGE_DATA"})
    assert machine(environment, free=0) is None
    assert environment == {TRANSPORTS: "LARGE_DATA"}


def test_a_machine_without_dev_shm(tmp_path):
    environment = ours()
    assert avoid_broken_shared_memory(environment, tmp_path / "none", tmp_path / "none") is None
    assert environment == ours()
