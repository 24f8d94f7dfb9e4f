"""Replays a recording through the node in processes of their own, and records the results."""

from __future__ import annotations

import os
import time
from itertools import chain
from pathlib import Path
from typing import Any

from objectomaly_ros.demo.processes import Child, ChildError, Children
from objectomaly_ros.demo.progress import Progress
from objectomaly_ros.demo.source import Source
from objectomaly_ros.files.writing import bytes_at

NODE = "/objectomaly"
OUTPUTS = ("score", "coarse_score", "mask", "obstacles", "points", "free", "status")
_START_S = 300.0  # to load a model on a busy machine
_SETTLED_S = 2.0
_DRAIN_S = 90.0
_STATUS_BYTES = 4096  # of ~/status, which comes once a second while no image does
_SCORE_BITS = 12  # steps of 1/4096 change AuPRC by 0.01 points, and a score takes 0.1, not 0.9 MB
_STARTED = "playing"  # what the player says when it begins
_NICENESS = 5  # the recorder may be late: its queue is long, and times come from the node


def image_topic(source: Source) -> str:
    """Return the topic on which the images are replayed."""
    return "/image/compressed" if source.compressed else "/image"


def replay(
    source: Source, folder: Path, rate: float, progress: Progress, params: Path | None = None
) -> Path:
    """Run node, recorder and player; return the bag of results, `folder`/result.

    The bag holds what the report needs, compressed; of the images it holds the headers.

    Args:
        source: what to play.
        folder: where the bag and the logs go.
        rate: seconds of recording a second.
        progress: told of the stages.
        params: parameter file of the node; None for the embedded detector's.

    Raises:
        ChildError: a process failed; the message holds the end of its log.
    """
    result = folder / "result"
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with Children(logs, _environment()) as children:
        with progress.stage("starting the node"):
            node = children.start(
                "node", "objectomaly_ros.ros.refine_node", *_node_arguments(source, params)
            )
            recorder = children.start(
                "recorder",
                "objectomaly_ros.ros.recorder",
                *_recorder_arguments(source, result),
                niceness=_NICENESS,
            )
            _await_start(children, node, recorder)
        with progress.stage("replaying", source.duration_s / rate, "s") as bar:
            arguments = _player_arguments(source, rate)
            player = children.start("player", "objectomaly_ros.ros.play_bag", *arguments)
            _await_end(source, rate, node, recorder, player, bar)
            _await_results(children, node, recorder, result)
        for child in (recorder, node):
            if (status := child.stop()) != 0:
                raise ChildError(f"{child.name} ended with status {status}:\n{child.log_tail()}")
    return result


def _node_arguments(source: Source, params: Path | None) -> list[str]:
    profile = params or _profile()
    parameters: dict[str, object] = {  # those of the replay, whatever the file says
        "use_sim_time": "true",
        "autostart": "true",
        "camera_names": '[""]',
        "image_transport": "compressed" if source.compressed else "raw",
    }
    for name in ("height", "pitch", "roll") if source.pose is not None else ():
        parameters[f"points.camera_{name}"] = float(getattr(source.pose, name))
    return [
        *("--ros-args", "-r", f"__node:={NODE[1:]}"),
        *(("--params-file", str(profile)) if profile is not None else ()),
        *(word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")),
    ]


def _recorder_arguments(source: Source, result: Path) -> list[str]:
    return [
        *(f"{NODE}/{output}" for output in OUTPUTS),
        *("--headers", image_topic(source), "--output", str(result)),
        *("--compress", "--score-bits", str(_SCORE_BITS)),
    ]


def _player_arguments(source: Source, rate: float) -> list[str]:
    names = {source.image_topic: image_topic(source)}
    if source.info_topic is not None:
        names[source.info_topic] = "/camera_info"
    rules = [("-r", f"{old}:={new}") for old, new in names.items() if old != new]
    return [
        *(str(source.bag), "--rate", str(rate), "--clock", "20", "--topics", *names),
        *(["--stamps-from-log"] if source.stamps_from_log else ()),
        # Two subscribers: node and recorder.
        *("--wait-for-subscribers", f"2{image_topic(source)}", "--wait-timeout", str(_START_S)),
        *("--ros-args", *chain(*rules)),
    ]


def _profile() -> Path | None:
    """Return the parameters of the embedded detector, from the checkout or a ROS workspace."""
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    shares = [Path(prefix) / "share" / "objectomaly_ros" for prefix in prefixes]
    folders = [Path(__file__).resolve().parents[2], *shares]
    files = [folder / "config" / "embedded.yaml" for folder in folders]
    return next((file for file in files if file.is_file()), None)


def _environment() -> dict[str, str]:
    """Return this environment with a ROS domain of its own, which disturbs no other graph."""
    env = dict(os.environ)
    env.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    env.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    env["PYTHONUNBUFFERED"] = "1"
    return env


def _await_start(children: Children, node: Child, recorder: Child) -> None:
    """Wait until the node is active, with its model loaded, and its outputs are recorded."""
    end = time.monotonic() + _START_S
    while not _is_active(node) or not _records_all(recorder):
        children.wait(0.2, running=(node, recorder))
        if time.monotonic() > end:
            waited = f"the node is not active and recorded after {_START_S:.0f} s"
            raise ChildError(f"{waited}:\n{node.log_tail()}\n{recorder.log_tail()}")


def _is_active(node: Child) -> bool:
    log = node.log.read_text(errors="replace")
    if "configure failed" in log or "activate failed" in log:
        raise ChildError(f"the node did not start; its log:\n{node.log_tail()}")
    return "active on" in log


def _records_all(recorder: Child) -> bool:
    log = recorder.log.read_text(errors="replace")
    return all(f"recording {NODE}/{output} " in log for output in OUTPUTS)


def _await_end(
    source: Source, rate: float, node: Child, recorder: Child, player: Child, bar: Any
) -> None:
    """Wait until the player is done; stop it after the wanted seconds of a longer recording."""
    seconds = source.duration_s / rate
    started: float | None = None
    while player.status is None:
        for child in (node, recorder):
            child.check()
        time.sleep(0.1)
        if started is None:
            started = time.monotonic() if _STARTED in player.log.read_text() else None
            continue
        passed = time.monotonic() - started
        bar.update(max(0.0, min(passed, seconds) - bar.n))
        if source.partial and passed > seconds:
            player.stop()
    if player.status not in (0, 130):
        player.check()


def _await_results(children: Children, node: Child, recorder: Child, result: Path) -> None:
    """Wait for the results of the last frames, until ~/status alone is recorded."""
    size, changed = 0, time.monotonic()
    end = changed + _DRAIN_S
    while time.monotonic() < min(end, changed + _SETTLED_S):
        children.wait(0.5, running=(node, recorder))
        now = bytes_at(result)
        if now > size + _STATUS_BYTES:
            size, changed = now, time.monotonic()
