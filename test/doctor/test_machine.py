"""What is said of a machine and of the environment of ROS."""

from dataclasses import replace

import pytest

from objectomaly_ros.doctor.machine import (
    Machine,
    cache_findings,
    machine_findings,
    middleware_findings,
)

GOOD = Machine((3, 12, 3), "/usr/bin/python3", "x86_64", 8, None, 8 * 2**30)


def finding(subject, machine=GOOD, **environment):
    (found,) = (f for f in machine_findings(machine, environment) if f.subject == subject)
    return found


def test_a_good_machine():
    assert {f.level for f in machine_findings(GOOD, {})} == {"ok"}


@pytest.mark.parametrize(
    ("subject", "changes", "level", "told"),
    [
        ("Python", {"python": (3, 10, 1)}, "error", "3.10.1 in /usr/bin/python3 is too old"),
        ("Python", {"python": (3, 15, 0)}, "warning", "is not tried"),
        ("cores", {"cores": 1}, "warning", "share one core"),
        ("cores", {"quota": 1.5}, "warning", "the container's limit is 1.5"),
        ("cores", {"quota": 16.0}, "ok", "8 for this process"),
        ("memory", {"memory": 2**29}, "warning", "0.5 GB free"),
    ],
)
def test_machines(subject, changes, level, told):
    found = finding(subject, replace(GOOD, **changes))
    assert found.level == level
    assert told in found.found
    assert level == "ok" or found.remedy


@pytest.mark.parametrize(("given", "level"), [("4", "ok"), ("0", "warning"), ("four", "warning"),
                                              ("64", "warning")])  # fmt: skip
def test_threads(given, level):
    assert finding("OMP_NUM_THREADS", OMP_NUM_THREADS=given).level == level


def test_this_machine(tmp_path):
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    found = Machine.here(tmp_path)
    assert found.quota == 1.5
    assert found.cores >= 1
    assert found.memory > 2**20
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert Machine.here(tmp_path).quota is None
    assert Machine.here(tmp_path / "none").quota is None


def test_the_cache(small_disk, tmp_path):
    (found,) = cache_findings(small_disk / "not" / "made")
    assert found.level == "warning"
    assert "0.0 GB free; the largest checkpoint has 2.6 GB" in found.found
    assert "OBJECTOMALY_CACHE" in found.remedy


def ros(subject, middleware="rmw_fastrtps_cpp", shared_memory=None, dead=0, **environment):
    found = middleware_findings({"ROS_DISTRO": "jazzy"} | environment, middleware, shared_memory,
                                dead)  # fmt: skip
    found = [f for f in found if f.subject == subject]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize(
    ("number", "level"),
    [("0", "ok"), ("101", "ok"), ("150", "warning"), ("220", "ok"), ("233", "error"),
     ("-1", "error"), ("my", "error"), ("9" * 5000, "error")],
)  # fmt: skip
def test_domains(number, level):
    assert ros("ROS_DOMAIN_ID", ROS_DOMAIN_ID=number).level == level


def test_distributions():
    assert ros("ROS_DISTRO").level == "ok"
    assert ros("ROS_DISTRO", ROS_DISTRO="humble").level == "warning"
    assert ros("ROS_DISTRO", ROS_DISTRO="").level == "warning"


def test_discovery():
    assert ros("discovery") is None
    assert ros("discovery", ROS_LOCALHOST_ONLY="1").level == "ok"
    assert ros("discovery", ROS_AUTOMATIC_DISCOVERY_RANGE="OFF").level == "warning"
    assert "10.0.0.1:11811" in ros("discovery", ROS_DISCOVERY_SERVER="10.0.0.1:11811").found


def test_profiles_of_fast_dds(tmp_path):
    profile, name = tmp_path / "fastdds.xml", "FASTDDS_DEFAULT_PROFILES_FILE"
    assert ros("Fast DDS profile").level == "warning"
    found = ros("Fast DDS profile", **{name: str(profile)})
    assert found.level == "warning"
    assert f"{name}={profile}: there is no such file" in found.found
    profile.touch()
    assert ros("Fast DDS profile", **{name: str(profile)}).level == "ok"
    assert ros("Fast DDS transports", FASTDDS_BUILTIN_TRANSPORTS="UDPv4").level == "ok"
    assert ros("Fast DDS profile", middleware="rmw_cyclonedds_cpp") is None


def test_shared_memory():
    assert ros("shared memory").level == "ok"
    found = ros("shared memory", shared_memory="/dev/shm has 1 MB free. Give more")
    assert (found.level, found.remedy) == ("warning", "Give more")
    assert "7 segments" in ros("shared memory", dead=7).found
