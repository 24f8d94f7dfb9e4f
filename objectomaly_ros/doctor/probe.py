"""Imports packages in a process of their own, since some crash on being imported."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from objectomaly_ros.runtime.environment import PACKAGE_PARENT, child_command, child_environment

PATIENCE_S = 120.0
"""Importing torch from a slow disk takes half a minute."""

_VERSION = re.compile(r"<version>\s*([\w.]+)\s*</version>")


@dataclass(frozen=True)
class Probe:
    """What became of importing a package.

    Attributes:
        name: of the module.
        version: empty if it is not known.
        location: of its file; empty if it is not known.
        problem: why it cannot be used; empty if it can.
        signal: that ended the process that imported it; 0 without one.
        facts: what else is known, see `_FACTS`.
    """

    name: str
    version: str = ""
    location: str = ""
    problem: str = ""
    signal: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)


def is_there(name: str) -> bool:
    """Tell whether a module can be found, without importing it."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # its parent is not there; it is half imported
        return False


def probe(names: Sequence[str], distributions: Mapping[str, Sequence[str]]) -> dict[str, Probe]:
    """Import those modules that are installed, in child processes.

    Args:
        names: of modules.
        distributions: the names by which pip may know them.

    Returns:
        by name, without those that are not installed.
    """
    found: dict[str, Probe] = {}
    left = [name for name in names if is_there(name)]
    while left:
        answers, problem, number = _ask("probe", left)
        for name, answer in zip(left, answers, strict=False):
            version = answer.pop("version") or _version_of(distributions.get(name, ()))
            found[name] = Probe(name, version, **answer)
        if len(answers) < len(left):
            name = left[len(answers)]
            version = _version_of(distributions.get(name, ()))
            found[name] = Probe(name, version, problem=problem, signal=number)
        left = left[len(answers) + 1 :]
    return found


def run_in_child(function: str, *arguments: str) -> tuple[Any, str]:
    """Call one of `CALLS` in a child process.

    Returns:
        its result, and an empty text; or None, and what went wrong.
    """
    answers, problem, _ = _ask(function, arguments)
    if not answers:
        return None, problem
    return answers[0].get("result"), answers[0].get("problem", "")


def _ask(function: str, arguments: Sequence[str]) -> tuple[list[dict[str, Any]], str, int]:
    """Return the child's answers; if it ended early, also why, and its signal."""
    command = [*child_command(__name__), function, *arguments]
    try:
        done = subprocess.run(
            command,
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return _answers(error.stdout), f"it was not done after {PATIENCE_S:.0f} s", 0
    number = max(0, -done.returncode)
    if number:
        problem = f"the process crashes with {signal.Signals(number).name}"
    else:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        problem = lines[-1] if lines else f"the process ends with exit code {done.returncode}"
    return _answers(done.stdout), problem, number


def _answers(output: bytes | None) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output or b"").splitlines() if line.endswith(b"}")]


def _version_of(distributions: Sequence[str]) -> str:
    for name in distributions:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


def main() -> None:
    """Run in the child: print one line of JSON for each answer."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the packages print is no answer
    function, *arguments = sys.argv[1:]
    for answer in (
        map(_look, arguments) if function == "probe" else [_result(CALLS[function], arguments)]
    ):
        print(json.dumps(answer), file=answers, flush=True)
    os._exit(0)  # some libraries crash when the interpreter ends


def _look(name: str) -> dict[str, Any]:
    try:
        module = importlib.import_module(name)
        facts = _FACTS[name](module) if name in _FACTS else {}
    except BaseException as error:  # a package may raise anything, and call sys.exit
        return {"version": "", "problem": _described(error)}
    location = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), "")
    version = getattr(module, "__version__", None) or _ament_version(name.partition(".")[0])
    return {"version": str(version), "location": location, "facts": facts}


def _result(call: Callable[..., Any], arguments: Sequence[str]) -> dict[str, Any]:
    try:
        return {"result": call(*arguments)}
    except BaseException as error:  # as of `_look`; also of a user's module
        return {"problem": _described(error)}


def _described(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _ament_version(name: str) -> str:
    """Return the version in the package.xml that a ROS package installs."""
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        path = Path(prefix, "share", name, "package.xml")
        if prefix and path.is_file():
            match = _VERSION.search(path.read_text(errors="replace"))
            return match[1] if match else ""
    return ""


def _facts_of_torch(torch: Any) -> dict[str, Any]:
    devices = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            devices.append(torch.cuda.get_device_name(index))
            torch.zeros(8, device=f"cuda:{index}").sum().item()  # its kernels fit the GPU
    return {"cuda": torch.version.cuda or "", "devices": devices}


def _facts_of_rclpy(rclpy: Any) -> dict[str, Any]:
    context = rclpy.Context()
    rclpy.init(args=[], context=context)  # loads the middleware
    context.try_shutdown()
    return {"middleware": rclpy.get_rmw_implementation_identifier()}


def _facts_of_messages(messages: Any) -> dict[str, Any]:
    """Raise a ValueError if the messages were built from other definitions than this package's."""
    for path in (Path(PACKAGE_PARENT) / "msg").glob("*.msg"):  # of a checkout
        wanted = re.findall(r"^[\w/]+(?:\[\])? (\w+)", path.read_text(), re.MULTILINE)
        if list(getattr(messages, path.stem).get_fields_and_field_types()) != wanted:
            raise ValueError(f"{path.stem} was built from another definition than {path}")
    return {}


_FACTS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "torch": _facts_of_torch,
    "rclpy": _facts_of_rclpy,
    "objectomaly_ros.msg": _facts_of_messages,
    "onnxruntime": lambda module: {"providers": module.get_available_providers()},
}


def score_a_picture(name: str, checkpoint: str, options: str) -> dict[str, Any]:
    """Load a detector on the CPU and score a small picture.

    Args:
        name: of the detector.
        checkpoint: of its weights, or "".
        options: of the detector, as JSON.

    Raises:
        ValueError: the scores are all equal; beside the errors of the detector.
    """
    import numpy as np

    from objectomaly_ros.detectors import detect, load_detector

    detector: Any = load_detector(name, checkpoint or None, "cpu", **json.loads(options))
    rows, columns = np.mgrid[:96, :128]
    picture = np.stack([rows + 60, columns + 40, 200 - rows], axis=-1).astype(np.uint8)
    picture[50:80, 40:90] = (200, 40, 30)
    score = detect(detector, picture).score
    if not score.max() > score.min():
        raise ValueError(f"every pixel of a picture scores {float(score.max()):g}")
    return {"low": float(score.min()), "high": float(score.max())}


CALLS: dict[str, Callable[..., Any]] = {"score_a_picture": score_a_picture}
"""Functions for `run_in_child`."""
