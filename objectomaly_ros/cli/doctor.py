"""`objectomaly doctor`: what is installed and what is missing; what is wrong in a running graph."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from objectomaly_ros import __version__
from objectomaly_ros.cli.options import DONE, FAILED, MODEL, above_zero
from objectomaly_ros.doctor.findings import Finding, as_document, as_text
from objectomaly_ros.doctor.packages import PROFILES
from objectomaly_ros.doctor.probe import Probe, is_there

SHM = Path("/dev/shm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "  objectomaly doctor                            the installation\n"
        "  objectomaly doctor --profile paper            the same; the profile must be complete\n"
        "  objectomaly doctor --graph                    the running ROS graph\n\n"
        "Exit codes: 0 everything works, though there may be warnings; 1 something will not work;\n"
        "2 usage."
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--profile",
        nargs="+",
        choices=PROFILES,
        default=[],
        help="profiles that must be complete beside light; default: ros if ROS is sourced",
    )
    parser.add_argument(
        "--detector",
        default="embedded",
        metavar=MODEL,
        help="detector to try on a picture; default: %(default)s",
    )
    parser.add_argument(
        "--memory", type=Path, metavar="FILE", help="check that this memory fits the detector"
    )
    parser.add_argument(
        "--graph", action="store_true", help="look at the running ROS graph instead"
    )
    parser.add_argument(
        "--node", default="/objectomaly", help="name of the node, default: %(default)s"
    )
    parser.add_argument(
        "--seconds",
        type=above_zero,
        default=5.0,
        metavar="S",
        help="how long to listen to the graph, default: %(default)s",
    )


def run(args: argparse.Namespace) -> int:
    """Look, print what was found, and return the exit code."""
    if sys.stderr.isatty():
        what = f"listening to the graph for {args.seconds:g} s" if args.graph else "trying packages"
        print(f"{what} ...", file=sys.stderr)
    report, facts = _graph(args) if args.graph else _installation(args)
    document = as_document(report, version=__version__, **facts)
    if args.json:
        print(json.dumps(document, indent=1))
    else:
        terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if terminal else 100
        print(as_text(report, width=width, colour=terminal and "NO_COLOR" not in os.environ))
    return DONE if document["ok"] else FAILED


def _installation(args: argparse.Namespace) -> tuple[dict[str, list[Finding]], dict[str, Any]]:
    from objectomaly_ros.doctor import machine, packages
    from objectomaly_ros.doctor.probe import probe
    from objectomaly_ros.models.devices import has_nvidia_driver

    environment, names = os.environ, packages.distributions()
    probes = probe(list(names), names)
    sourced = bool(environment.get("ROS_DISTRO"))
    wanted = {"light", *args.profile, *(["ros"] if sourced else [])}
    distro = environment.get("ROS_DISTRO", "")
    report = {
        "Packages": packages.version_findings(probes),
        "Profiles": packages.profile_findings(probes, sorted(wanted), distro=distro),
        "Combinations": packages.combination_findings(
            probes,
            packages.installed(packages.OPENCV),
            environment.get("CONDA_DEFAULT_ENV", ""),
        ),
        "Machine": [
            *machine.machine_findings(machine.Machine.here(), environment),
            *packages.gpu_findings(probes, driver=has_nvidia_driver()),
        ],
        "Models": _models(args),
    }
    if sourced or "rclpy" in probes:
        report["ROS"] = _middleware(probes.get("rclpy"))
    return report, {"packages": {name: found.version for name, found in probes.items()}}


def _models(args: argparse.Namespace) -> list[Finding]:
    from objectomaly_ros.checkpoints.table import cache_dir
    from objectomaly_ros.doctor import machine, models

    try:
        folder = cache_dir()
        found = [*machine.cache_findings(folder), *models.checkpoint_findings(folder)]
    except (OSError, ValueError) as error:  # no home folder; a folder that nobody may look into
        remedy = "set OBJECTOMALY_CACHE to a folder of this user"
        found = [Finding("warning", "cache", str(error), remedy)]
    if not (is_there("numpy") and is_there("cv2")):
        return found  # an error of its profile; nothing can be loaded
    from objectomaly_ros.evaluation.model_spec import ModelSpec

    try:
        spec = ModelSpec.parse(args.detector)
    except ValueError as error:
        return [Finding("error", "--detector", str(error), f"give it as {MODEL}"), *found]
    model = (spec.name, spec.checkpoint, spec.options)
    found.insert(0, models.detector_finding(*model))
    if args.memory is not None:
        found.insert(1, models.memory_finding(args.memory, *model))
    return found


def _middleware(rclpy: Probe | None) -> list[Finding]:
    from objectomaly_ros.doctor.machine import middleware_findings
    from objectomaly_ros.ros import shared_memory

    middleware = rclpy.facts.get("middleware", "") if rclpy is not None else ""
    uid = os.getuid()
    return middleware_findings(
        os.environ,
        middleware or os.environ.get("RMW_IMPLEMENTATION", ""),
        shared_memory.problem(os.environ, SHM, uid),
        shared_memory.dead_segments(SHM, uid),
    )


def _graph(args: argparse.Namespace) -> tuple[dict[str, list[Finding]], dict[str, Any]]:
    from objectomaly_ros.doctor.calibration import calibration_findings
    from objectomaly_ros.doctor.frames import frame_findings
    from objectomaly_ros.doctor.images import image_findings
    from objectomaly_ros.doctor.node_health import node_findings
    from objectomaly_ros.doctor.qos import qos_findings
    from objectomaly_ros.doctor.stamps import clock_findings, stamp_findings
    from objectomaly_ros.ros.shared_memory import avoid_broken_shared_memory

    report = {"ROS": _middleware(None)}
    avoid_broken_shared_memory(os.environ)
    graph = None
    try:
        from objectomaly_ros.ros.graph_observer import observe

        graph = observe(args.node, args.seconds)
    except ImportError as error:
        found = f"needs ROS and this package's messages: {error}"
        remedy = "objectomaly doctor tells what is missing"
    except RuntimeError as error:  # of rclpy, such as a middleware that is not installed
        found = f"no ROS node can be made here: {error}"
        remedy = "mend what is told above; see also RMW_IMPLEMENTATION"
    if graph is None:
        report["ROS"].append(Finding("error", "--graph", found, remedy))
        return report, {"topics": [], "nodes": []}
    report |= {
        "Node": node_findings(graph),
        "QoS": qos_findings(graph),
        "Images": image_findings(graph),
        "Time": [*clock_findings(graph), *stamp_findings(graph)],
        "CameraInfo": calibration_findings(graph),
        "TF": frame_findings(graph),
    }
    return report, {"topics": sorted(graph.topics), "nodes": graph.nodes}
