"""What the package says of itself agrees with what is in it."""

import configparser
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import objectomaly_ros

ROOT = Path(__file__).resolve().parents[1]


def test_one_version_everywhere():
    version = objectomaly_ros.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert ET.parse(ROOT / "package.xml").findtext("version") == version
    assert re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0] == version


def test_ros_tools_find_nothing_to_complain_of_in_package_xml():
    package = pytest.importorskip("catkin_pkg.package", reason="comes with the ROS environment")
    warnings = []
    package.parse_package(str(ROOT), warnings=warnings).validate(warnings=warnings)
    assert warnings == []


def test_package_xml_declares_every_ros_package_that_is_imported():
    declared = {
        element.text
        for tag in ("depend", "exec_depend", "buildtool_depend")
        for element in ET.parse(ROOT / "package.xml").iter(tag)
    }
    ros = re.compile(
        r"^\s*(?:from|import) ((?:rclpy|cv_bridge|tf2_ros|launch|launch_ros|sensor_msgs_py|"
        r"\w+_msgs|\w+_interfaces|std_srvs)\b)",
        re.MULTILINE,
    )
    sources = [*ROOT.glob("objectomaly_ros/**/*.py"), *ROOT.glob("launch/*.py")]
    imported = {name for path in sources for name in ros.findall(path.read_text())}
    imported.discard("builtin_interfaces")  # part of std_msgs
    imported -= {"autoware_perception_msgs", "tier4_perception_msgs"}  # come with Autoware
    imported.remove("tf2_ros")
    imported.add("tf2_ros_py")  # the package that its Python is in
    assert {"rclpy", "sensor_msgs", "launch_ros"} <= imported
    assert imported <= declared


def test_every_message_is_generated():
    cmake = (ROOT / "CMakeLists.txt").read_text()
    assert {f'"msg/{path.name}"' for path in ROOT.glob("msg/*.msg")} == set(
        re.findall(r'"msg/\w+\.msg"', cmake)
    )


@pytest.mark.parametrize("name", ["refine_node", "play_bag", "record_bag", "objectomaly"])
def test_every_executable_has_its_main(name):
    script = ROOT / "scripts" / "nodes" / name
    module = re.search(r"from ([\w.]+) import main", script.read_text())[1]
    path = ROOT / (module.replace(".", "/") + ".py")
    assert re.search(r"^def main\(", path.read_text(), re.MULTILINE)
    assert script.stat().st_mode & 0o111


def test_pinned_requirements_cover_what_pip_asks_for():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    extras = config["options.extras_require"]
    lists = {
        "light": config["options"]["install_requires"],
        "paper": extras["paper"],
        "dev": extras["train"] + extras["test"],
        "docs": extras["docs"],
    }
    pinned = set()
    for name, asked in lists.items():
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        pinned |= set(re.findall(r"^([\w-]+)==", text, re.MULTILINE))
        asked = {re.split(r"[>=<]", line)[0] for line in asked.split() if "[" not in line}
        assert asked <= pinned, name


def test_the_installation_page_names_what_the_profiles_need():
    page = (ROOT / "docs" / "installation.md").read_text()
    (apt,) = re.findall(r"sudo apt install (python3-numpy.*)", page)
    keys = {e.text for e in ET.parse(ROOT / "package.xml").iter("exec_depend")}
    assert set(apt.split()) == {key for key in keys if key.startswith("python3-")}
    (pip,) = re.findall(r'pip install ("numpy<2".*)', page)  # apt's NumPy has to stay
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    paper = config["options.extras_require"]["paper"].split()
    bare = [re.split(r"[>=<]", name.strip('"'))[0] for name in (*pip.split(), *paper)]
    assert sorted(bare) == sorted(["numpy", *bare[-len(paper) :] * 2])


def test_the_hard_dependencies_need_no_pip():
    """A release as binary packages is built from them alone."""
    keys = [
        element.text
        for element in ET.parse(ROOT / "package.xml").getroot()
        if element.tag.endswith("depend")
    ]
    assert "python3-opencv" in keys
    assert [key for key in keys if key.endswith("-pip")] == []


def test_no_file_is_too_large_for_git():
    for path in ROOT.glob("objectomaly_ros/**/*"):
        assert not path.is_file() or path.stat().st_size < 10_000_000, path


@pytest.mark.ros
def test_colcon_installed_what_launch_needs():
    pytest.importorskip("rclpy")
    from ament_index_python.packages import get_package_prefix, get_package_share_directory

    share = Path(get_package_share_directory("objectomaly_ros"))
    installed = {
        path.name for folder in ("launch", "config") for path in (share / folder).iterdir()
    }
    wanted = {path.name for folder in ("launch", "config") for path in (ROOT / folder).iterdir()}
    assert wanted - {"__pycache__"} <= installed
    nodes = Path(get_package_prefix("objectomaly_ros")) / "lib" / "objectomaly_ros"
    assert {"refine_node", "play_bag", "record_bag"} <= {path.name for path in nodes.iterdir()}


def test_a_stale_installed_module_is_not_imported(tmp_path):
    """colcon's installed copy serves its generated messages, and no module that has moved away."""
    stale = tmp_path / "objectomaly_ros"
    (stale / "msg").mkdir(parents=True)
    (stale / "__init__.py").touch()
    (stale / "cells.py").touch()
    (stale / "msg" / "__init__.py").write_text("here = True\n")
    program = (
        "import objectomaly_ros.msg; assert objectomaly_ros.msg.here\n"
        "try:\n    import objectomaly_ros.cells\n"
        "except ModuleNotFoundError:\n    print('not found')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "not found\n", done.stderr
