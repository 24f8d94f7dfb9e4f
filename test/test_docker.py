"""The container files agree with the repository, and download nothing when a container starts."""

import fnmatch
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
ENTRYPOINT = ROOT / "docker" / "entrypoint"
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
DEVCONTAINER = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
STAGES = re.findall(r"^FROM (\S+) AS (\w+)", DOCKERFILE, re.MULTILINE)
DOWNLOAD = re.compile(r"\b(apt-get|curl|pip|rosdep|wget)\b|checkpoints download|https?:")
DISTROS = set(re.search(r"ROS_DISTRO=(\w+\|\w+)", (ROOT / "Makefile").read_text())[1].split("|"))


def instructions(kind):
    text = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{kind} (.*)", text, re.MULTILINE)


def sent_to_the_builder(path):
    """Whether .dockerignore, which forbids all and then allows, lets a path through."""
    first, *rules = (ROOT / ".dockerignore").read_text().split()
    assert first == "*"
    allowed = [rule[1:] for rule in rules if rule.startswith("!")]
    return any(fnmatch.fnmatch(path, f"{rule}{end}") for rule in allowed for end in ("", "/*"))


def test_what_is_copied_exists_and_is_sent():
    for line in instructions("COPY"):
        if not line.startswith("--from=build"):
            source = line.split()[0]
            assert (ROOT / source).exists()
            assert source == "." or sent_to_the_builder(source), source


def test_what_the_build_installs_is_sent():
    cmake = (ROOT / "CMakeLists.txt").read_text()
    named = re.findall(r"(?:scripts/nodes|msg)/[\w.]+", cmake)
    assert "scripts/nodes/refine_node" in named
    for path in [*named, "launch", "config", "objectomaly_ros", "CMakeLists.txt", "package.xml"]:
        assert (ROOT / path).exists()
        assert sent_to_the_builder(path), path
    assert not sent_to_the_builder(".venv/bin/python")
    assert not sent_to_the_builder("install/jazzy/stamp")


def test_stages_stand_on_each_other():
    known = {"ros:${ROS_DISTRO}-ros-base"}
    for base, name in STAGES:
        assert base in known
        known.add(name)
    assert {"cpu", "cuda", "dev"} <= known


def test_ros_packages_are_those_of_package_xml():
    """rosdep reads package.xml; only a desktop's viewer and the tests stay away."""
    (skipped,) = re.findall(r'rosdep install .*--skip-keys "([^"]+)"', DOCKERFILE)
    keys = {element.text for element in ET.parse(ROOT / "package.xml").getroot()}
    assert set(skipped.split()) == {"rviz2", "python3-pytest"} <= keys
    (apt,) = re.findall(r"apt-get install (.*?)\s*\\", DOCKERFILE)
    assert apt.split() == ["-y", "--no-install-recommends", "python3-venv"]


def test_pip_takes_the_pinned_lists_and_keeps_the_numpy_of_apt():
    (names,) = re.findall(r"grep -E '\^\((.*?)\)=='", DOCKERFILE)
    light = (ROOT / "requirements" / "light.txt").read_text()
    for name in names.split("|"):
        assert re.search(rf"^{name}==", light, re.MULTILINE)
    installs = [part for line in instructions("RUN") for part in line.split("&&") if "pip " in part]
    assert len(installs) == 3
    assert all("-c /opt/requirements/apt.txt -r /opt/requirements/" in part for part in installs)


def test_nothing_is_downloaded_when_a_container_starts():
    at_start = [ENTRYPOINT.read_text(), *instructions("CMD"), *instructions("ENTRYPOINT")]
    at_start.append(DEVCONTAINER["postCreateCommand"])
    assert [text for text in at_start if DOWNLOAD.search(text)] == []


def test_the_default_command_launches_the_node_as_no_root():
    command = json.loads(instructions("CMD")[0])
    assert command[:2] == ["ros2", "launch"]
    assert (ROOT / "launch" / command[3]).is_file()
    for stage in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE):
        if re.match(r"\S+ AS (cpu|cuda|dev)\n", stage):
            assert "\nUSER 1000\n" in stage
    assert json.loads(instructions("ENTRYPOINT")[0]) == ["/entrypoint"]
    assert ENTRYPOINT.stat().st_mode & 0o111


def test_compose_and_dev_container_name_targets_and_distributions_that_exist():
    targets = {name for _, name in STAGES}
    for name, service in COMPOSE["services"].items():
        assert service["build"]["target"] == name
        assert name in targets
        assert (ROOT / service["build"]["dockerfile"]).is_file()
        assert service["network_mode"] == service["ipc"] == "host"
    build = DEVCONTAINER["build"]
    assert build["target"] in targets
    assert build["args"]["ROS_DISTRO"] in DISTROS
    assert (ROOT / ".devcontainer" / build["dockerfile"]).resolve() == ROOT / "docker/Dockerfile"
    assert re.findall(r"^ARG ROS_DISTRO=(\w+)", DOCKERFILE, re.MULTILINE) == ["jazzy"]
    page = (ROOT / "docs" / "docker.md").read_text()
    assert all(distro in page for distro in DISTROS)


def test_the_entrypoint_runs_a_command_inside_ros_workspace_and_venv(tmp_path):
    share = tmp_path / "ws" / "share" / "objectomaly_ros" / "config"
    share.mkdir(parents=True)
    (share / "fastdds.xml").touch()
    for path, line in {
        "ros/jazzy/setup.bash": "order=ros; ARGUMENTS=$#",
        "ws/setup.bash": f"order=$order,workspace; export AMENT_PREFIX_PATH={tmp_path}/ws:/ros",
        "venv/bin/activate": "export order=$order,venv",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(line + "\n")
    script = tmp_path / "entrypoint"
    script.write_text(ENTRYPOINT.read_text().replace("/opt", str(tmp_path)))
    done = subprocess.run(
        ["bash", script, "sh", "-c", 'echo "$order $FASTDDS_DEFAULT_PROFILES_FILE $0"', "a b"],
        env={"ROS_DISTRO": "jazzy", "WORKSPACE": f"{tmp_path}/ws", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"ros,workspace,venv {share}/fastdds.xml a b\n", done.stderr


def test_hadolint_finds_nothing():
    hadolint = shutil.which("hadolint") or pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, ROOT / "docker/Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
