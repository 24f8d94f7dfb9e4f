"""The reference pages of the documentation, made from the code. Needs no ROS."""

from __future__ import annotations

import argparse
import ast
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from objectomaly_ros.cli.main import COMMANDS, build_parser
from objectomaly_ros.ros import refine_node
from objectomaly_ros.ros.arguments import play_bag_parser, record_bag_parser
from objectomaly_ros.ros.parameters import SPECS, UNSET, Spec
from objectomaly_ros.ros.topics import DIAGNOSTICS, INPUTS, OUTPUTS, SERVICES, Topic
from tools import ROOT

# The names that stay, as they are imported.
API = {
    "The pipeline": ["objectomaly_ros.Objectomaly", "objectomaly_ros.Refinement"],
    "Models": [
        "objectomaly_ros.detectors.load_detector",
        "objectomaly_ros.masks.load_mask_generator",
        "objectomaly_ros.types",
    ],
    "The two steps": ["objectomaly_ros.oasc.calibrate", "objectomaly_ros.mbp.refine_boundary"],
    "A memory of normal driving": [
        "objectomaly_ros.detectors.memory.learn",
        "objectomaly_ros.detectors.memory.Memory",
    ],
    "Bags": [
        "objectomaly_ros.bags.images.read_images",
        "objectomaly_ros.bags.images.read_scores",
        "objectomaly_ros.bags.images.read_masks",
    ],
    "Metrics": [
        "objectomaly_ros.evaluation.metrics.pixel_metrics",
        "objectomaly_ros.evaluation.metrics.component_metrics",
        "objectomaly_ros.evaluation.metrics.instance_metrics",
        "objectomaly_ros.evaluation.instances.mask_instances",
        "objectomaly_ros.evaluation.metrics.temporal_consistency",
    ],
}
_TYPES = {bool: "bool", int: "integer", float: "double", str: "string"}


def parameters() -> str:
    """Return the page of the node's parameters."""
    lines = [
        "# Parameters",
        "",
        f"All {len(SPECS)} parameters of `refine_node`. `config/embedded.yaml` holds the same in "
        "the form of a parameter file; [the node's page](../node.md#parameters) tells which matter "
        "most. A value that is not allowed is refused with the reason.",
        "",
    ]
    groups: dict[str, list[Spec]] = {}
    for spec in SPECS:
        group = spec.name.partition(".")[0] if "." in spec.name else "General"
        groups.setdefault(group, []).append(spec)
    for group, specs in groups.items():
        lines += [f"## {group}", "", *_table("parameter", "meaning", "default", "allowed",
                                             "type", "change")]  # fmt: skip
        lines += [
            _row(f"`{s.name}`", _text(s.description), _default(s), _allowed(s), _type(s),
                 "at start only" if s.read_only else "at run time")
            for s in specs
        ]  # fmt: skip
        lines.append("")
    return "\n".join(lines)


def _type(spec: Spec) -> str:
    if isinstance(spec.default, list):
        return f"{_TYPES[type(spec.default[0])]}[]"
    return _TYPES[type(spec.default)]


def _default(spec: Spec) -> str:
    default = spec.default
    if default in ("", UNSET):
        return "empty"
    if isinstance(default, float) and math.isnan(default):
        return "`.nan`"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _allowed(spec: Spec) -> str:
    if spec.choices:
        return ", ".join(f"`{choice}`" for choice in spec.choices)
    return "" if spec.low is None else f"{spec.low:,.10g} to {spec.high:,.10g}"


def topics() -> str:
    """Return the page of the node's topics and services."""
    names = "content", "type", "exists", "reliability", "depth"
    lines = [
        "# Topics and services",
        "",
        "`~` is the node's name, `/objectomaly` by default. With `camera_names` the camera's name "
        "comes before the last part: `front/image` in, `~/front/score` out. All are volatile and "
        "keep the last messages. `qos_overrides` parameters change reliability, durability, "
        "history and depth. [The node's page](../node.md#topics) tells more of their contents.",
        "",
        "## Inputs",
        "",
        *_table("topic", *names),
        *map(_topic, INPUTS),
        "",
        "## Outputs",
        "",
        *_table("topic", *names),
        *map(_topic, (*OUTPUTS, DIAGNOSTICS)),
        "",
        "## Services",
        "",
        *_table("service", "type", "use"),
        *(_row(f"`{name}`", kind, _text(use)) for name, kind, use in SERVICES),
        "",
        "Those of every lifecycle node come on top.",
        "",
    ]
    return "\n".join(lines)


def _topic(topic: Topic) -> str:
    kind = topic.type
    if kind.startswith("objectomaly_ros/"):
        name = kind.partition("/")[2]
        kind = f"[{kind}](messages.md#{name.lower()})"
    reliable = "reliable" if topic.reliable else "best effort"
    when = _text(topic.when) or "always"
    return _row(f"`{topic.name}`", _text(topic.content), kind, when, reliable, str(topic.depth))


def messages() -> str:
    """Return the page of the package's messages, from msg/*.msg."""
    lines = ["# Messages", ""]
    for path in sorted((ROOT / "msg").glob("*.msg")):
        about, _, fields = path.read_text().partition("\n\n")
        lines += [f"## {path.stem}", "", _text(about.replace("# ", "").replace("\n", " ")), ""]
        lines += _table("field", "meaning", "type")
        for line in filter(None, fields.splitlines()):
            kind, name, meaning = re.fullmatch(r"(\S+) (\S+)\s*(?:# (.*))?", line).groups("")
            lines.append(_row(f"`{name}`", _text(meaning), f"`{kind}`"))
        lines.append("")
    return "\n".join(lines)


def commands() -> str:
    """Return the page of all commands, from their parsers."""
    lines = ["# Commands", "", "Each has `--help`. In a clone, `scripts/env` goes before them.", ""]
    for command in subparsers(build_parser(*COMMANDS)).values():
        nested = subparsers(command)
        lines += _command(command)
        for one in nested.values():
            lines += _command(one, "###")
    for parser in (refine_node.build_parser(), play_bag_parser(), record_bag_parser()):
        lines += _command(parser)
    return "\n".join(lines)


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of the subcommands by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _command(parser: argparse.ArgumentParser, heading: str = "##") -> Iterator[str]:
    usage = re.sub(r"^(usage: | {7})", "", parser.format_usage().rstrip(), flags=re.MULTILINE)
    yield from (f"{heading} {parser.prog}", "", _text(parser.description or ""), "")
    yield from ("```text", usage, "```", "")
    options = [
        action
        for action in parser._actions
        if not isinstance(action, (argparse._HelpAction, argparse._SubParsersAction))
    ]
    if options:
        yield from _table("argument", "meaning")
        formatter = argparse.HelpFormatter(parser.prog)
        for action in options:
            shown = formatter._format_action_invocation(action)
            text = formatter._expand_help(action) if action.help else ""
            required = " (required)" if action.option_strings and action.required else ""
            yield _row(f"`{shown}`{required}", _text(text))
        yield ""
    if parser.epilog:
        yield from ("```text", parser.epilog.strip("\n"), "```", "")


class LaunchArgument(NamedTuple):
    """An argument of a launch file; `choices` is None for any value, `default` if it is needed."""

    name: str
    default: str | None
    choices: list[str] | None
    description: str


def launch_arguments(path: Path) -> list[LaunchArgument]:
    """Read what a launch file declares, without ROS."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "DeclareLaunchArgument":
            given: dict[str, Any] = {str(k.arg): k.value for k in node.keywords}
            default = given.get("default_value")
            found.append(
                LaunchArgument(
                    ast.literal_eval(node.args[0]),
                    None if default is None else ast.literal_eval(default),
                    _choices(given["choices"]) if "choices" in given else None,
                    ast.literal_eval(given["description"]),
                )
            )
    return found


def _choices(node: ast.expr) -> list[str]:
    """Evaluate a list of texts, in which a name stands for true and false."""
    found: list[str] = []
    for part in node.elts if isinstance(node, ast.List) else [node]:
        found += [part.value] if isinstance(part, ast.Constant) else ["true", "false"]
    return found


def launch() -> str:
    """Return the page of the launch files."""
    lines = ["# Launch files", "", "`replay.launch.py` takes the arguments of both tables.", ""]
    for name in ("refine.launch.py", "replay.launch.py"):
        path = ROOT / "launch" / name
        about = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        first, _, rest = about.partition("\n\n")
        lines += [f"## {name}", "", _text(first), "", "```bash", rest.partition("\n")[0], "```", ""]
        lines += _table("argument", "meaning", "default", "allowed")
        for one in launch_arguments(path):
            default = "needed" if one.default is None else f"`{one.default}`" * bool(one.default)
            allowed = ", ".join(f"`{choice}`" for choice in one.choices or () if choice)
            lines.append(_row(f"`{one.name}`", _text(one.description), default, allowed))
        lines.append("")
    return "\n".join(lines)


def python() -> str:
    """Return the page of the Python API, for mkdocstrings to fill."""
    lines = ["# Python", "", "The names that stay from version to version. None needs ROS.", ""]
    for title, names in API.items():
        lines += [f"## {title}", ""]
        for name in names:
            lines += [f"::: {name}", ""]
    return "\n".join(lines)


PAGES: dict[str, Callable[[], str]] = {
    "reference/parameters.md": parameters,
    "reference/topics.md": topics,
    "reference/messages.md": messages,
    "reference/commands.md": commands,
    "reference/launch.md": launch,
    "reference/python.md": python,
}


def _table(*names: str) -> list[str]:
    return [_row(*names), "|" + "---|" * len(names)]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _text(text: str) -> str:
    """Return plain text as Markdown."""
    return re.sub(r"([*_<>\[\]])", r"\\\1", text)
