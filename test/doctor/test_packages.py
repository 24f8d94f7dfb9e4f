"""What is said of packages, profiles and combinations; the probes are plain records here."""

import configparser
import re
import signal
from pathlib import Path

import pytest

from objectomaly_ros.doctor.packages import (
    PACKAGES,
    PROFILES,
    combination_findings,
    gpu_findings,
    profile_findings,
    version_findings,
)
from objectomaly_ros.doctor.probe import Probe

ROOT = Path(__file__).resolve().parents[2]
GOOD = {"numpy": "2.4.1", "cv2": "4.6.0", "torch": "2.15.0+cu132", "transformers": "5.23.0"}


def complete(*profiles, without=()):
    names = [p.module for name in profiles for p in PROFILES[name] if not p.use]
    return {n: Probe(n, GOOD.get(n, "9.9")) for n in names if n not in without}


def profile(name, probes, wanted=("light",), distro=""):
    (found,) = (f for f in profile_findings(probes, wanted, distro=distro) if f.subject == name)
    return found


def test_the_profiles_are_those_of_setup_cfg():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    lists = {name: extras[name] for name in extras if name not in ("test", "docs")}
    lists["light"] = setup["options"]["install_requires"]
    for name, text in lists.items():
        needed = dict(re.findall(r"^([\w-]+)(?:>=([\d.]+))?$", text, re.MULTILINE))
        ours = {p.pip[0]: p for p in PROFILES[name] if p.pip}
        assert set(needed) == set(ours), name
        for pip, least in needed.items():
            if pip != "rosbags":
                assert ours[pip].least == least, pip
    assert set(lists) | {"ros"} == set(PROFILES)


def test_apt_names_are_those_of_package_xml():
    text = (ROOT / "package.xml").read_text()
    for package in PROFILES["light"]:
        assert not package.apt or package.apt in text, package.apt


def test_a_complete_installation():
    probes = complete(*PROFILES)
    assert {f.level for f in version_findings(probes)} == {"ok"}
    assert {f.level for f in profile_findings(probes, list(PROFILES), distro="jazzy")} == {"ok"}


def test_a_light_installation_is_well():
    probes = complete("light")
    assert profile("light", probes).level == "ok"
    assert "onnxruntime for a quicker detector" in profile("light", probes).found
    paper = profile("paper", probes)
    assert paper.level == "ok"
    assert paper.found.startswith("not installed (torch")
    assert "'objectomaly_ros[paper]'" in paper.remedy
    assert "PROFILE=paper" in paper.remedy
    assert profile("fleet", probes).remedy == "pip install 'objectomaly_ros[fleet]'"


def test_what_is_missing_has_its_names_of_apt_and_pip():
    found = profile("light", complete("light", without=("cv2", "skimage")))
    assert found.level == "error"
    assert found.found == "lacks cv2, skimage"
    assert "sudo apt install python3-opencv python3-skimage" in found.remedy
    assert "pip install opencv-python scikit-image" in found.remedy


def test_a_profile_that_is_wanted_must_be_there():
    assert profile("paper", complete("light"), ["light", "paper"]).level == "error"
    assert profile("paper", complete("light", "paper", without=("timm",))).level == "warning"
    assert profile("train", complete("light", "paper")).level == "ok"
    torch_brings = {"fsspec": Probe("fsspec", "2026.3.0")}
    assert profile("fleet", complete("light", "paper") | torch_brings).level == "ok"


def test_ros_without_a_sourced_distribution():
    found = profile("ros", complete("light"), ["light", "ros"])
    assert found.level == "error"
    assert "setup.bash" in found.remedy


def test_messages_that_are_not_built():
    found = profile("ros", complete("ros", without=("objectomaly_ros.msg",)), ["ros"], "jazzy")
    assert found.level == "error"
    assert "colcon build --packages-select objectomaly_ros" in found.remedy
    assert "apt" not in found.remedy


def test_ros_packages_have_the_name_of_their_distribution():
    found = profile("ros", complete("ros", without=("sensor_msgs",)), ["ros"], "kilted")
    assert found.remedy == "sudo apt install ros-kilted-sensor-msgs"


NUMPY_1 = "AttributeError: _ARRAY_API not found"


@pytest.mark.parametrize(
    ("probe", "level", "told", "remedy"),
    [
        (Probe("cv2", "4.6.0", problem=NUMPY_1), "error", "_ARRAY_API", "built for NumPy 1"),
        (Probe("cv_bridge", "4.1", problem="the process crashes with SIGSEGV", signal=11),
         "error", "SIGSEGV", "finds NumPy 2.4.1"),
        (Probe("cv_bridge", "4.1", problem=NUMPY_1), "warning", "_ARRAY_API", "'numpy<2'"),
        (Probe("onnxruntime", "1.3", problem="x", signal=signal.SIGILL), "error", "x",
         "pip uninstall onnxruntime; the default detector then runs on OpenCV"),
        (Probe("torch", "2.5", problem="x", signal=signal.SIGILL), "error", "x", "this CPU"),
        (Probe("cv2", "4.9", problem="ImportError: libGL.so.1: cannot open shared object file"),
         "error", "libGL", "apt install libgl1"),
        (Probe("rclpy", "7", problem="ModuleNotFoundError: No module named "
               "'rclpy._rclpy_pybind11'"), "error", "pybind11", "another Python"),
        (Probe("rclpy", "7", problem="RuntimeError: failed to load librmw_cyclonedds_cpp.so"),
         "error", "cyclonedds", "RMW_IMPLEMENTATION"),
        (Probe("sensor_msgs", "5", problem="ImportError: libx.so"), "error", "libx", "setup.bash"),
        (Probe("objectomaly_ros.msg", problem="ValueError: Obstacle was built from another"),
         "error", "another", "colcon build"),
        (Probe("torchvision", "0.2", problem="RuntimeError: operator torchvision::nms does not"),
         "error", "nms", "torch torchvision"),
        (Probe("tqdm", "4", problem="SyntaxError: x"), "error", "SyntaxError", "--force-reinstall"),
        (Probe("transformers", "4.40"), "error", "4.40 is older than 5.23", "transformers>=5.23"),
        (Probe("numpy", "1.24.2"), "error", "older than 1.26", "numpy>=1.26"),
        (Probe("scipy"), "ok", "version unknown", ""),
        (Probe("rclpy", "7.1", facts={"middleware": "rmw_zenoh_cpp"}), "ok", "rmw_zenoh_cpp", ""),
    ],
)  # fmt: skip
def test_packages_that_cannot_be_used(probe, level, told, remedy):
    probes = {"numpy": Probe("numpy", "2.4.1"), probe.name: probe}
    (found,) = (f for f in version_findings(probes) if f.subject == probe.name)
    assert found.level == level
    assert told in found.found
    assert remedy in found.remedy
    assert level == "ok" or found.remedy


def test_a_profile_with_a_broken_package():
    probes = complete("light") | {"scipy": Probe("scipy", "1.17", problem="ImportError: x")}
    found = profile("light", probes)
    assert found.level == "error"
    assert "scipy" in found.found


def test_opencv_twice():
    names = ["opencv-python 5.0.0", "opencv-python-headless 4.10.0"]
    (found,) = combination_findings({}, names)
    assert found.level == "warning"
    assert "pip uninstall opencv-python opencv-python-headless" in found.remedy
    assert combination_findings({}, names[:1]) == []


def test_numpy_of_pip_over_ros_of_apt():
    rclpy = Probe("rclpy", "7", "/opt/ros/jazzy/lib/python3.12/site-packages/rclpy/__init__.py")
    numpy = Probe("numpy", "2.1.0", "/home/me/.local/lib/python3.12/site-packages/numpy")
    (found,) = combination_findings({"rclpy": rclpy, "numpy": numpy}, [])
    assert "/home/me/.local" in found.found
    assert "numpy<2" in found.remedy
    old = Probe("numpy", "1.26.4")
    assert combination_findings({"rclpy": rclpy, "numpy": old}, []) == []
    lyrical = Probe("rclpy", "10", "/opt/ros/lyrical/lib/python3.14/site-packages/rclpy")
    assert combination_findings({"rclpy": lyrical, "numpy": numpy}, []) == []
    wheels = Probe("rclpy", "7", "/venv/rclpy")
    assert combination_findings({"rclpy": wheels, "numpy": numpy}, []) == []
    (found,) = combination_findings({"rclpy": rclpy}, [], "base")
    assert "conda deactivate" in found.remedy


def torch(devices=(), cuda="13.2"):
    return {"torch": Probe("torch", "2.15", facts={"devices": list(devices), "cuda": cuda})}


@pytest.mark.parametrize(
    ("probes", "driver", "level", "told"),
    [
        ({}, False, "ok", "none"),
        ({}, True, "ok", "unused without torch"),
        (torch(["NVIDIA H100"]), True, "ok", "NVIDIA H100, CUDA 13.2"),
        (torch(), False, "ok", "none"),
        (torch(), True, "warning", "cannot use it"),
        (torch(cuda=""), True, "warning", "without CUDA"),
    ],
)
def test_gpu(probes, driver, level, told):
    (found,) = gpu_findings(probes, driver=driver)
    assert found.level == level
    assert told in found.found


def test_no_package_stands_twice_with_two_meanings():
    for packages in PROFILES.values():
        for package in packages:
            assert PACKAGES[package.module] == package
