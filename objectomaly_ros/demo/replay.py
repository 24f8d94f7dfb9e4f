"""Replays a recording through the node in processes of their own, and records the results."""

from __future__ import annotations

import os
import time
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from objectomaly_ros.demo.processes import Child, ChildError, Children
from objectomaly_ros.demo.source import Source
from objectomaly_ros.files.writing import bytes_at

NODE = "/objectomaly"
OUTPUTS = ("score", "coarse_score", "mask", "overlay", "obstacles", "points", "status")
_START_S = 300.0  # to load a model on a busy machine
_DELAY_S = 2.0
_SETTLED_S = 4.0
_DRAIN_S = 90.0
_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s"


def image_topic(source: Source) -> str:
    """Return the topic on which the images are replayed."""
    return "/image/compressed" if source.compressed else "/image"


def replay(source: Source, folder: Path, rate: float = 1.0) -> Path:
    """Run node, recorder and player; return the bag of results, `folder`/result.

    Args:
        source: what to play.
        folder: where the bag and the logs go.
        rate: seconds of recording a second.

    Raises:
        ChildError: a process failed; the message holds the end of its log.
    """
    result = folder / "result"
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with Children(logs, _environment()) as children:
        node = children.start("node", "objectomaly_ros.ros.refine_node", *_node_arguments(source))
        topics = [*(f"{NODE}/{output}" for output in OUTPUTS), image_topic(source), "/camera_info"]
        recorder = children.start(
            "recorder", "objectomaly_ros.ros.recorder", *topics, "--output", str(result)
        )
        arguments = _player_arguments(source, rate)
        player = children.start("player", "objectomaly_ros.ros.player", *arguments)
        _await_start(children, node, recorder, player)
        _await_end(source, rate, node, recorder, player)
        _await_results(children, node, recorder, result)
        for child in (recorder, node):
            if (status := child.stop()) != 0:
                raise ChildError(f"{child.name} ended with status {status}:\n{child.log_tail()}")
    return result


def _node_arguments(source: Source) -> list[str]:
    profile = _profile()
    parameters: dict[str, object] = {"use_sim_time": "true"}
    if source.compressed:
        parameters["image_transport"] = "compressed"
    for name in ("height", "pitch", "roll") if source.pose is not None else ():
        parameters[f"points.camera_{name}"] = float(getattr(source.pose, name))
    return [
        *("--ros-args", "-r", f"__node:={NODE[1:]}"),
        *(("--params-file", str(profile)) if profile is not None else ()),
        *(word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")),
    ]


def _player_arguments(source: Source, rate: float) -> list[str]:
    names = {source.image_topic: image_topic(source)}
    if source.info_topic is not None:
        names[source.info_topic] = "/camera_info"
    rules = [("-r", f"{old}:={new}") for old, new in names.items() if old != new]
    return [
        *(str(source.bag), "--rate", str(rate), "--clock", "100", "--topics", *names),
        # Two subscribers: node and recorder. The delay lets the recorder find the node's outputs.
        *("--wait-for-subscribers", f"2{image_topic(source)}", "--wait-timeout", str(_START_S)),
        *("--delay", str(_DELAY_S), "--ros-args", *chain(*rules)),
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


def _await_start(children: Children, node: Child, recorder: Child, player: Child) -> None:
    """Wait until the node is active, which includes loading its model."""
    with tqdm(desc="starting the node", bar_format="{desc}: {elapsed}") as bar:
        end = time.monotonic() + _START_S
        while "active on" not in (log := node.log.read_text(errors="replace")):
            if "configure failed" in log or "activate failed" in log:
                raise ChildError(f"the node did not start; its log:\n{node.log_tail()}")
            children.wait(0.5, running=(node, recorder, player))
            bar.update()
            if time.monotonic() > end:
                waited = f"the node is not active after {_START_S:.0f} s"
                raise ChildError(f"{waited}:\n{node.log_tail()}")


def _await_end(source: Source, rate: float, node: Child, recorder: Child, player: Child) -> None:
    """Wait until the player is done; stop it after the wanted seconds of a longer recording."""
    seconds = source.duration_s / rate
    started = time.monotonic()
    with tqdm(total=seconds, desc="replaying", unit="s", bar_format=_BAR) as bar:
        while player.status is None:
            for child in (node, recorder):
                child.check()
            time.sleep(0.2)
            passed = time.monotonic() - started
            bar.update(max(0.0, min(passed - _DELAY_S, seconds) - bar.n))
            if source.partial and passed > seconds + _DELAY_S:
                player.stop()
    if player.status not in (0, 130):
        player.check()


def _await_results(children: Children, node: Child, recorder: Child, result: Path) -> None:
    """Wait for the results of the last frames, until nothing more is recorded."""
    size, changed = -1, time.monotonic()
    end = changed + _DRAIN_S
    while time.monotonic() < min(end, changed + _SETTLED_S):
        children.wait(0.5, running=(node, recorder))
        now = bytes_at(result)
        if now != size:
            size, changed = now, time.monotonic()
