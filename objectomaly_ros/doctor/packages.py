"""Which packages are installed, what each profile lacks, and versions that do not go together."""

from __future__ import annotations

import importlib.metadata
import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from objectomaly_ros.doctor.findings import Finding, Level
from objectomaly_ros.doctor.probe import Probe


@dataclass(frozen=True)
class Package:
    """A package that something of ours uses.

    Attributes:
        module: the name that Python imports.
        pip: the names of pip that may bring it, the usual one first; none if pip has none.
        apt: its name on Ubuntu; `{distro}` stands for the ROS distribution.
        least: the lowest version that works.
        use: what it is for, if everything else works without it.
    """

    module: str
    pip: tuple[str, ...] = ()
    apt: str = ""
    least: str = ""
    use: str = ""


OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
_TORCH = Package("torch", ("torch",), least="2.2")
_SAFETENSORS = Package("safetensors", ("safetensors",))


def _ros(module: str, *, use: str = "", apt: str = "") -> Package:
    return Package(module, apt=f"ros-{{distro}}-{(apt or module).replace('_', '-')}", use=use)


PROFILES: dict[str, tuple[Package, ...]] = {
    "light": (
        Package("numpy", ("numpy",), "python3-numpy", "1.26"),
        Package("cv2", OPENCV, "python3-opencv", "4.6"),
        Package("PIL", ("pillow",), "python3-pil"),
        Package("yaml", ("pyyaml",), "python3-yaml"),
        Package("scipy", ("scipy",), "python3-scipy", "1.11"),
        Package("skimage", ("scikit-image",), "python3-skimage", "0.22"),
        Package("tqdm", ("tqdm",), "python3-tqdm"),
        Package(
            "onnxruntime",
            ("onnxruntime", "onnxruntime-gpu"),
            use="a quicker detector, and ONNX networks of your own",
        ),
        Package("rosbags", ("rosbags",), use="bags outside of ROS, play_bag and record_bag"),
    ),
    "ros": (
        _ros("rclpy"),
        _ros("sensor_msgs"),
        _ros("std_msgs"),
        _ros("geometry_msgs"),
        _ros("diagnostic_msgs"),
        _ros("lifecycle_msgs"),
        _ros("rcl_interfaces"),
        _ros("std_srvs"),
        Package("objectomaly_ros.msg"),
        _ros("tf2_ros", apt="tf2_ros_py", use="the camera's pose from TF"),
        _ros("launch_ros", use="the launch files"),
        _ros("vision_msgs", use="~/detections"),
        _ros("bond", apt="bondpy", use="the heartbeat for Nav2"),
    ),
    "paper": (
        _TORCH,
        Package("torchvision", ("torchvision",)),
        Package("segment_anything", ("segment-anything",)),
        Package("transformers", ("transformers",), least="5.23"),
        _SAFETENSORS,
        Package("timm", ("timm",)),
    ),
    "train": (
        _TORCH,
        _SAFETENSORS,
        Package("onnx", ("onnx",)),
        Package("onnxscript", ("onnxscript",)),
    ),
    "fleet": (
        Package("ray", ("ray",)),
        Package("pyarrow", ("pyarrow",)),
        Package("fsspec", ("fsspec",)),
    ),
}
"""What each profile needs, by the names of `--profile`."""

_OTHERS = (
    _ros("sensor_msgs_py", use="point clouds"),
    _ros("cv_bridge", use="other nodes"),
    Package("detectron2", use="the detector detectron2"),
)
"""Not missed, but looked at if they are there."""

PACKAGES: dict[str, Package] = {
    package.module: package for some in (*PROFILES.values(), _OTHERS) for package in some
}
_EXTRAS = ("paper", "train", "fleet")
_BROUGHT_ALONG = ("torch", "safetensors", "fsspec", "pyarrow")  # by other profiles and packages
_COMPILED_FOR_NUMPY_1 = ("_ARRAY_API", "numpy.core.multiarray", "compiled using NumPy 1")
_NUMPY_1 = "pip install 'numpy<2', in a venv over apt's packages (docs/installation.md)"


def distributions() -> dict[str, tuple[str, ...]]:
    """Return pip's names of every module."""
    return {name: package.pip for name, package in PACKAGES.items()}


def installed(names: Sequence[str]) -> list[str]:
    """Return those distributions of pip that are installed, with their versions."""
    found = []
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def version_findings(probes: Mapping[str, Probe]) -> list[Finding]:
    """Report on each package that is installed: its version, or why it cannot be used."""
    return [_version(PACKAGES[name], probe, probes) for name, probe in probes.items()]


def _version(package: Package, probe: Probe, probes: Mapping[str, Probe]) -> Finding:
    shown = probe.version or "version unknown"
    if probe.problem:
        found = f"{shown}, cannot be imported: {probe.problem}"
        level: Level = "warning" if package.use and not probe.signal else "error"
        return Finding(level, package.module, found, _cure(package, probe, probes))
    if () < _numbers(probe.version) < _numbers(package.least):
        remedy = f"pip install '{package.pip[0]}>={package.least}'"
        return Finding("error", package.module, f"{shown} is older than {package.least}", remedy)
    middleware = probe.facts.get("middleware")
    return Finding("ok", package.module, f"{shown}, {middleware}" if middleware else shown)


def _cure(package: Package, probe: Probe, probes: Mapping[str, Probe]) -> str:
    text, numpy = probe.problem, probes.get("numpy")
    numpy_2 = numpy is not None and _numbers(numpy.version) >= (2,)
    old_abi = any(sign in text for sign in _COMPILED_FOR_NUMPY_1)
    if old_abi or (package.module == "cv_bridge" and numpy_2):
        which = f" {numpy.version}" if numpy is not None else ""
        return f"it was built for NumPy 1 and finds NumPy{which}: {_NUMPY_1}"
    if probe.signal == signal.SIGILL:
        instead = f"pip uninstall {package.pip[0]}" if package.pip else "build it for this machine"
        if package.module == "onnxruntime":
            instead += "; the default detector then runs on OpenCV"
        return f"it uses instructions that this CPU does not have: {instead}"
    if "libGL.so" in text or "libgthread" in text:
        return "sudo apt install libgl1 libglib2.0-0, or pip install opencv-python-headless"
    if "rclpy._rclpy" in text or "_rclpy_pybind11" in text:
        return (
            "rclpy was built for another Python: use the Python of the ROS distribution, "
            "/usr/bin/python3, or a venv made from it with --system-site-packages"
        )
    if "rmw_" in text or "RMW" in text:
        return (
            "the middleware that RMW_IMPLEMENTATION names is not installed: unset it, or "
            "sudo apt install ros-$ROS_DISTRO-rmw-fastrtps-cpp"
        )
    if package.module == "objectomaly_ros.msg":
        return _BUILD
    if package.apt.startswith("ros-"):
        return "source the setup.bash of the ROS distribution, in a new terminal"
    if package.module in ("torch", "torchvision"):
        return "install both again together: pip install --force-reinstall torch torchvision"
    if package.pip:
        return f"install it again: pip install --force-reinstall {package.pip[0]}"
    return "install it again"


_BUILD = (
    "build the package and source it: colcon build --packages-select objectomaly_ros && source "
    "install/setup.bash; in a checkout without ROS: make env, then scripts/env COMMAND"
)


def profile_findings(
    probes: Mapping[str, Probe], wanted: Sequence[str], *, distro: str
) -> list[Finding]:
    """Report on each profile: complete, or what it lacks and how to get it.

    A profile of which nothing is there is an error only if it is wanted; one that is there in part
    is a warning.

    Args:
        probes: packages that are installed.
        wanted: profiles that must be complete.
        distro: ROS distribution in use; empty without one.
    """
    return [_profile(name, probes, name in wanted, distro) for name in PROFILES]


def _profile(name: str, probes: Mapping[str, Probe], wanted: bool, distro: str) -> Finding:
    needed = [package for package in PROFILES[name] if not package.use]
    missing = [package for package in needed if package.module not in probes]
    broken = [p.module for p in needed if p.module in probes and probes[p.module].problem]
    if not missing and broken:
        return Finding("error", name, f"cannot be used: {', '.join(broken)} fails, see above")
    if not missing:
        return _optional(name, probes, distro)
    names, remedy = ", ".join(p.module for p in missing), how_to_get(name, missing, distro)
    if not wanted and all(p in missing or p.module in _BROUGHT_ALONG for p in needed):
        return Finding("ok", name, f"not installed ({names})", remedy)
    return Finding("error" if wanted else "warning", name, f"lacks {names}", remedy)


def _optional(name: str, probes: Mapping[str, Probe], distro: str) -> Finding:
    packages = [p for p in PROFILES[name] if p.use and p.module not in probes]
    if not packages:
        return Finding("ok", name, "complete")
    without = ", ".join(f"{p.module} for {p.use}" for p in packages)
    remedy = how_to_get(name, packages, distro)
    if name == "ros" and not probes["rclpy"].location.startswith("/opt/ros/"):
        remedy = "a ROS distribution has them, PyPI's wheels of ROS do not"
    return Finding("ok", name, f"complete; not installed: {without}", remedy)


def how_to_get(name: str, packages: Sequence[Package], distro: str) -> str:
    """Return how to install packages that a profile lacks."""
    if name in _EXTRAS and not all(package.use for package in packages):
        target = {"paper": "PROFILE=paper", "train": "PROFILE=dev"}.get(name)
        checkout = f" (in a checkout: make env {target})" if target else ""
        return f"pip install 'objectomaly_ros[{name}]'{checkout}"
    if name == "ros" and not distro:
        return (
            "source /opt/ros/jazzy/setup.bash if ROS is installed; else in a checkout: make env, "
            "then scripts/env objectomaly doctor"
        )
    apt = [package.apt.format(distro=distro) for package in packages if package.apt]
    pip = [package.pip[0] for package in packages if package.pip]
    ways = []
    if apt:
        ways.append(f"sudo apt install {' '.join(apt)}")
    if pip:
        ways.append(f"pip install {' '.join(pip)}")
    if any(package.module == "objectomaly_ros.msg" for package in packages):
        ways.append(_BUILD)
    return (", or " if name == "light" else "; ").join(ways)


# Of Ubuntu 24.04. Lyrical is built for NumPy 2.
_ROS_OF_NUMPY_1 = ("/opt/ros/jazzy/", "/opt/ros/kilted/")


def combination_findings(
    probes: Mapping[str, Probe], opencv: Sequence[str], conda: str = ""
) -> list[Finding]:
    """Report on packages that each work, but not together.

    Args:
        probes: packages that are installed.
        opencv: distributions of OpenCV that are installed, see `installed`.
        conda: its environment in use; empty without one.
    """
    found = []
    if len(opencv) > 1:
        names = " ".join(text.split()[0] for text in opencv)
        found.append(
            Finding(
                "warning",
                "OpenCV",
                f"is installed {len(opencv)} times ({', '.join(opencv)}), and the files of one "
                "overwrite those of the other",
                f"pip uninstall {names}; then install one of them",
            )
        )
    numpy, rclpy = probes.get("numpy"), probes.get("rclpy")
    of_apt = rclpy is not None and rclpy.location.startswith("/opt/ros/")
    of_1 = rclpy is not None and rclpy.location.startswith(_ROS_OF_NUMPY_1)
    if of_1 and numpy is not None and _numbers(numpy.version) >= (2,):
        found.append(
            Finding(
                "warning",
                "NumPy and ROS",
                f"NumPy {numpy.version} in {numpy.location}, while cv_bridge and other packages of "
                "/opt/ros were built for the NumPy of apt",
                _NUMPY_1,
            )
        )
    if of_apt and conda:
        found.append(
            Finding(
                "warning",
                "conda",
                f"its environment {conda} is active beside /opt/ros, whose libraries differ",
                "conda deactivate, and use a venv (docs/installation.md)",
            )
        )
    return found


def gpu_findings(probes: Mapping[str, Probe], *, driver: bool) -> list[Finding]:
    """Report on the GPU as torch sees it.

    Args:
        probes: packages that are installed.
        driver: NVIDIA's driver is there.
    """
    torch = probes.get("torch")
    if torch is None or torch.problem:
        if not driver:
            return [Finding("ok", "GPU", "none; the default profile runs on the CPU")]
        return [
            Finding(
                "ok",
                "GPU",
                "NVIDIA's driver is there, and unused without torch",
                "for the paper's networks: pip install 'objectomaly_ros[paper]'",
            )
        ]
    devices, cuda = torch.facts["devices"], torch.facts["cuda"]
    if devices:
        return [Finding("ok", "GPU", f"{', '.join(devices)}, CUDA {cuda}")]
    if not driver:
        return [Finding("ok", "GPU", "none; everything runs on the CPU")]
    if not cuda:
        found, remedy = f"torch {torch.version} is a build without CUDA", "pip install torch"
    else:
        found = f"torch {torch.version} (CUDA {cuda}) cannot use it"
        remedy = f"update NVIDIA's driver until nvidia-smi shows CUDA {cuda} or newer"
    return [Finding("warning", "GPU", f"NVIDIA's driver is there, but {found}", remedy)]


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with; none if it is not known."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()
