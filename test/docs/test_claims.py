"""What README and docs name is there, every command parses, and figures agree with their source."""

import argparse
import contextlib
import importlib
import io
import itertools
import os
import re
import runpy
import shlex
import sys
from pathlib import Path
from unittest import mock

import pytest
import yaml
from parameter_trees import flat

from objectomaly_ros.bags.typestore import make_typestore
from objectomaly_ros.cli.main import COMMANDS, build_parser
from objectomaly_ros.ros import refine_node
from objectomaly_ros.ros.arguments import play_bag_parser, record_bag_parser
from objectomaly_ros.ros.parameters import BY_NAME, REMOVED, checked, unknown
from objectomaly_ros.ros.topics import DIAGNOSTICS, INPUTS, OUTPUTS, SERVICES
from tools.docs.reference import launch_arguments

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "objectomaly_ros"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "config").glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    PACKAGE / "weights" / "MODEL_CARD.md",
]
FOLDERS = {"config", "docker", "docs", "launch", "msg", "scripts", "test", "tools"}
ROOMS = {path.name for path in PACKAGE.iterdir() if path.is_dir()}
THEIRS = {"~/input/pointcloud", "input_pointcloud"}  # of Autoware
OTHERS_MODULES = {"build", "colcon", "pip", "pytest", "venv"}
by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)

TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
MAKE_VARIABLES = set(
    re.findall(
        r"\$[({](\w+)", (ROOT / "Makefile").read_text() + (ROOT / "scripts/build_env").read_text()
    )
)
NODES = re.findall(
    r"scripts/nodes/(\w+)",
    re.findall(r"PROGRAMS([^)]*) DESTINATION lib", (ROOT / "CMakeLists.txt").read_text())[0],
)
TOPICS = {topic.name.removeprefix("~/") for topic in OUTPUTS}
INPUT_NAMES = {topic.name for topic in INPUTS}
SERVICE_NAMES = {name.removeprefix("~/") for name, _, _ in SERVICES}
TYPES = {
    *(name.replace("/msg/", "/") for name in make_typestore().types),
    *(topic.type for topic in (*INPUTS, *OUTPUTS, DIAGNOSTICS)),
    *(kind for _, kind, _ in SERVICES),
    "geometry_msgs/PolygonInstanceStamped",
}


# The arguments of the launch files, and the values that each may have; None for any.
LAUNCH = {
    path.name: {one.name: one.choices for one in launch_arguments(path)}
    for path in (ROOT / "launch").glob("*.launch.py")
}
LAUNCH["replay.launch.py"] |= LAUNCH["refine.launch.py"]


# What a page says: code spans, and the lines of its blocks.


def blocks_of(text):
    """The code blocks of a page, fenced or indented."""
    fenced = re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(r"(?:^ {4}.*\n(?:\n(?= {4}))?)+", text + "\n", re.MULTILINE)
    return [*fenced, *(re.sub(r"^ {4}", "", block, flags=re.MULTILINE) for block in indented)]


def lines_of(text):
    """The lines of all blocks without their comments; those that end with a backslash joined."""
    blocks = (re.sub(r"\\\n\s*", "", block) for block in blocks_of(text))
    return [
        re.sub(r"(^|\s)#.*", "", line).strip() for block in blocks for line in block.splitlines()
    ]


def spans_of(text):
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    prose = "\n".join(line for line in prose.splitlines() if line[:4] != "    ")
    spans = re.findall(r"`([^`]+)`", prose)
    return [" ".join(span.split()) for span in spans]


# Commands


class ParsedError(Exception):
    pass


def parse(parser, arguments, mention, method="parse_args"):
    """Why `parser` refuses the arguments; a mention in the text may leave some out."""
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
            getattr(parser, method)(arguments)
    except SystemExit as stop:
        said = told.getvalue().strip().rpartition("error: ")[2]
        cut = re.search("are required|expected (at least )?one argument", said)
        if stop.code == 0 or (mention and cut):
            return unknown_options(parser, arguments)
        return [said]
    return []


def unknown_options(parser, arguments):
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) and arguments and arguments[0][0] != "-":
            nested = action.choices.get(arguments[0])
            return [arguments[0]] if nested is None else unknown_options(nested, arguments[1:])
    options = {argument.partition("=")[0] for argument in arguments if argument[:2] == "--"}
    return sorted(options - set(parser._option_string_actions))


def run_parser_of(module, arguments, mention):
    """Run `python -m module` up to the end of its parsing."""
    found = []

    def parse_and_stop(self, args=None, namespace=None):
        monkey.undo()
        found.extend(parse(self, arguments if args is None else args, mention))
        raise ParsedError

    with (
        mock.patch.dict(os.environ),
        pytest.MonkeyPatch.context() as monkey,
        contextlib.suppress(ParsedError),
    ):
        monkey.setattr(sys, "argv", [module, *arguments])
        monkey.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
        monkey.setattr(argparse.ArgumentParser, "parse_known_args", parse_and_stop)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    return found


def wrong_in_command(words, mention=False):
    """What is wrong with a command of ours; nothing for commands of others."""
    while words and re.fullmatch(r"[A-Z_]+=.*|scripts/env", words[0]):
        words = words[1:]
    program, arguments = (words[0], words[1:]) if words else ("", [])
    if program == "objectomaly":
        asked = [arguments[0]] if arguments and arguments[0] in COMMANDS else []
        return parse(build_parser(*asked), arguments, mention) if arguments else []
    if program in ("python", "python3") and arguments[:1] == ["-m"]:
        return wrong_in_module(arguments[1], arguments[2:], mention)
    if program == "play_bag":
        return parse(play_bag_parser(), arguments, mention, "parse_intermixed_args")
    if program == "record_bag":
        return parse(record_bag_parser(), arguments, mention, "parse_intermixed_args")
    if program == "refine_node":
        return wrong_in_node_arguments(arguments)
    if program == "make":
        wrong = [word for word in arguments if "=" not in word and word not in TARGETS]
        given = {word.partition("=")[0] for word in arguments if "=" in word}
        return wrong + sorted(given - MAKE_VARIABLES)
    if program == "ros2":
        return wrong_in_ros2(*arguments)
    return []


def wrong_in_module(module, arguments, mention):
    if module in OTHERS_MODULES:
        return []
    if module == "objectomaly_ros":
        return wrong_in_command(["objectomaly", *arguments], mention)
    if (
        not (ROOT / module.replace(".", "/")).with_suffix(".py").is_file()
        and not (ROOT / module.replace(".", "/") / "__main__.py").is_file()
    ):
        return [module]
    return run_parser_of(module, arguments, mention)


def wrong_in_node_arguments(arguments):
    own, _, ros = " ".join(arguments).partition("--ros-args")
    wrong = parse(refine_node.build_parser(False), own.split(), False)
    words = ros.split()
    for flag, word in itertools.pairwise(words):
        name, _, value = word.partition(":=")
        if flag == "-p":
            wrong += wrong_parameter(name, yaml.safe_load(value))
        known = {topic.name for topic in (*INPUTS, *OUTPUTS)} | {"__node", "__ns"}
        if flag == "-r" and name not in known:
            wrong.append(name)
    return wrong


def wrong_parameter(name, value):
    if name == "use_sim_time":
        return []
    if name not in BY_NAME:
        return [unknown(name)]
    try:
        checked(BY_NAME[name], value)
    except ValueError as error:
        return [str(error)]
    return []


def wrong_in_ros2(verb="", *words):
    if verb == "launch" and words[:1] == ("objectomaly_ros",):
        if words[1:] and words[1] not in LAUNCH:
            return [words[1]]
        wrong = []
        for word in words[2:]:
            name, given, value = word.partition(":=")
            if given:
                allowed = LAUNCH[words[1]].get(name, [])
                wrong += [] if allowed is None or value in allowed else [word]
        return wrong
    if verb == "run" and words[:1] == ("objectomaly_ros",) and words[1:]:
        if words[1] not in NODES:
            return [words[1]]
        return wrong_in_command([*words[1:]])
    if (verb, *words[:2]) == ("param", "set", "/objectomaly"):
        return wrong_parameter(words[2], yaml.safe_load(words[3]))
    return [word for word in words if word.startswith("/objectomaly/") and not is_a_name(word)]


def is_a_name(topic):
    """Whether a topic or service of the node, with or without a camera, or of the offline bags."""
    last = topic.removesuffix("/compressed").rpartition("/")[2]
    return last in TOPICS | SERVICE_NAMES | {"pause"}


def split(line):
    """The commands of a line of shell, each as words; none if it is no shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError:
        return []
    commands, command, redirected = [], [], False
    for word in words:
        if set(word) <= set("&|;"):
            commands.append(command)
            command = []
        elif set(word) <= set("<>"):
            redirected = True
        elif redirected:
            redirected = False
        else:
            command.append(word)
    return [*commands, command]


def wrong_in(line, mention=False):
    return [text for words in split(line) for text in wrong_in_command(words, mention)]


@by_page
def test_commands_of_blocks_parse(page):
    assert [(line, w) for line in lines_of(page.read_text()) for w in wrong_in(line)] == []


@by_page
def test_commands_in_the_text_parse(page):
    assert [(span, w) for span in spans_of(page.read_text()) for w in wrong_in(span, True)] == []


@pytest.mark.parametrize(
    "line",
    [
        "python -m tools.benchmarks.nothing",
        "python -m tools.benchmarks.soak --nothing 3",
        "python -m objectomaly_ros refine images",
        "scripts/env objectomaly nothing",
        "objectomaly refine images --out refined --nothing",
        "objectomaly refine images",
        "objectomaly bag drive --out results --roi nothing",
        "cd somewhere && objectomaly checkpoints nothing",
        "record_bag --nothing",
        "play_bag",
        "ros2 run objectomaly_ros nothing",
        "ros2 run objectomaly_ros objectomaly",
        "ros2 run objectomaly_ros refine_node --ros-args -p min_area:=-3",
        "refine_node --ros-args -r nothing:=/x",
        "make nothing",
        "make demo NOTHING=3",
        "ros2 launch objectomaly_ros nothing.launch.py",
        "ros2 launch objectomaly_ros refine.launch.py nothing:=3",
        "ros2 launch objectomaly_ros refine.launch.py profile:=nothing",
        "ros2 param set /objectomaly threshold.nothing 0.4",
        "ros2 param set /objectomaly refine.propagation sideways",
        "ros2 topic echo /objectomaly/nothing",
    ],
)
def test_a_wrong_command_is_found(line):
    assert len(wrong_in(line)) == 1


def test_a_mention_may_be_short_but_not_wrong():
    assert wrong_in("objectomaly refine IMAGES --scores DIR", mention=True) == []
    assert wrong_in("objectomaly refine --nothing", mention=True) == ["--nothing"]


def test_commands_are_found():
    text = (
        "a\n\n    cd x && make demo \\\n      RATE=2   # slow\n\n```bash\nplay_bag x | cat\n```\n"
    )
    commands = [words for line in lines_of(text) for words in split(line)]
    assert commands == [["play_bag", "x"], ["cat"], ["cd", "x"], ["make", "demo", "RATE=2"]]


# Names: files, parameters, topics, messages, Python


def is_there(name):
    """Whether a word is no path of ours, or one of a file or folder that exists."""
    first = name.split("/")[0]
    ours = "/" in name and first in FOLDERS | ROOMS | {PACKAGE.name}
    if name in TYPES or (not ours and not re.fullmatch(r"[\w/-]+\.(py|md)", name)):
        return True
    bases = (ROOT, PACKAGE, ROOT / "docs", ROOT / "launch")
    return any((base / end).exists() for base in bases for end in (name, f"{name}.py"))


def unknown_names(code):
    """What a piece of code names that is not there."""
    groups = "|".join({name.split(".")[0] for name in BY_NAME if "." in name})
    missing = [name for name in re.findall(rf"(?<![\w./])(?:{groups})\.[a-z_]+(?![\w.])", code)
               if name not in BY_NAME]  # fmt: skip
    missing += [name for name in re.findall(r"(?<!\S)[\w./-]+(?=$|\s|,)", code)
                if not is_there(name)]  # fmt: skip
    missing += [name for name in re.findall(r"(?<!\S)([a-z_]\w*):=", code)
                if name not in {*LAUNCH["replay.launch.py"], *INPUT_NAMES, *THEIRS}]  # fmt: skip
    missing += [name for name in re.findall(r"(?<![\w/])(?:std_srvs|\w+_msgs)/[A-Z]\w+",
                                            code) if name not in TYPES]  # fmt: skip
    for module, names in re.findall(r"from (objectomaly_ros[\w.]*) import ([\w, ]+)", code):
        found = importlib.import_module(module)
        missing += [name for name in names.split(", ") if not hasattr(found, name)]
    return missing


@by_page
def test_names_in_code_are_there(page):
    text = page.read_text()
    codes = [*spans_of(text), *lines_of(text)]
    known = [*(REMOVED if page.name == "CHANGELOG.md" else ()),
             *re.findall(r"<!-- file: (.*) -->", text)]  # fmt: skip
    assert [name for code in codes for name in unknown_names(code) if name not in known] == []


@by_page
def test_topics_are_those_of_the_node(page):
    spans = spans_of(page.read_text())
    topics = [span for span in spans if re.fullmatch(r"(~|/objectomaly)(/[a-z_]+)+", span)]
    assert [topic for topic in topics if not is_a_name(topic) and topic not in THEIRS] == []


@by_page
def test_parameter_files_are_right(page):
    for block in blocks_of(page.read_text()):
        if "ros__parameters" in block:
            (values,) = (node["ros__parameters"] for node in yaml.safe_load(block).values())
            assert [w for name, value in flat(values) for w in wrong_parameter(name, value)] == []


@pytest.mark.parametrize(
    "code",
    ["points.nothing", "refine.every_n, masks.memory_s", "video/nothing.py", "nothing.py",
     "scripts/nothing", "sensor_msgs/Nothing", "objectomaly_ros/Nothing", "nothing:=3",
     "from objectomaly_ros.types import Image, Nothing"],
)  # fmt: skip
def test_a_name_without_a_thing_is_found(code):
    assert len(unknown_names(code)) == 1


# Links


def slug(heading):
    """The anchor of a heading, as GitHub and the site make it."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")


def anchors_of(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return {slug(title) for title in re.findall(r"^#+ (.*)", text, re.MULTILINE)}


@by_page
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith(("https://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        file = page.parent / target if target else page
        assert file.is_file(), link
        assert not anchor or anchor in anchors_of(file), link


# Figures

# The one home of each figure that another page quotes.
HOMES = (ROOT / "docs" / "measurements.md", PACKAGE / "weights" / "MODEL_CARD.md")
QUOTING = (ROOT / "README.md", ROOT / "docs" / "models.md", ROOT / "docs" / "index.md")


def quoted(text):
    """Figures of accuracy and speed, each as the numbers that stand together in their source."""
    figures = [tuple(pair) for pair in re.findall(r"(\d\d\.\d)(?:/|, )(\d+\.\d)", text)]
    figures += re.findall(r"[Tt]he (\w+) (?:is found |only )?from about (\d+) m\b", text)
    return figures + [(number,) for number in re.findall(r"(\d+(?:\.\d+)?) ms\b", text)]


def has(line, figure):
    return all(re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.]*\d)", line) for number in figure)


@pytest.mark.parametrize("page", QUOTING, ids=lambda page: page.name)
def test_quoted_figures_are_in_their_source(page):
    sources = [line for home in HOMES for line in home.read_text().splitlines()]
    # The table of sizes in models.md has its own command, machine and date.
    text = re.sub(r"^\| \d+ .*$", "", page.read_text(), flags=re.MULTILINE)
    assert [f for f in quoted(text) if not any(has(line, f) for line in sources)] == []


def test_figures_are_found_and_told_apart():
    assert quoted("AuPRC/FPR95 96.2/0.5, and 59 ms after") == [("96.2", "0.5"), ("59",)]
    assert quoted("The deer is found from about 29 m on, the tyre only from about 13 m") == [
        ("deer", "29"),
        ("tyre", "13"),
    ]
    assert has("| dev | 96.2, 0.5 | 45, 66 ms |", ("96.2", "0.5"))
    assert not has("196.2/0.5 or 96.25/0.5", ("96.2", "0.5"))


def test_readme_quotes_the_latency_of_the_node():
    command = "| `python -m tools.benchmarks.soak --seconds 600`"
    rows = [line for line in HOMES[0].read_text().splitlines() if line.startswith(command)]
    (p50,) = (row.split("|")[4].split(",")[0].strip() for row in rows)
    text = (ROOT / "README.md").read_text()
    assert re.findall(r"(\d+) ms after its image", text) == [p50]


def test_every_measurement_has_its_command_machine_and_date():
    text = (ROOT / "docs" / "measurements.md").read_text()
    sections = [part for part in text.split("\n## ")[1:] if "|---" in part]
    assert len(sections) > 5
    for section in sections:
        title = section.splitlines()[0]
        assert re.search(r"EPYC|H100|H200", section), title
        assert re.search(r"\d{1,2} [A-Z][a-z]+ 20\d\d", section), title
        assert re.search(r"`(python -m|objectomaly|make) ", section), title


# Completeness


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_readme_lists_all_topics_with_their_types():
    table = (ROOT / "README.md").read_text().split("## Topics")[1].split("\n## ")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    types = {name: kind for names, kind in rows for name in re.findall(r"`([^`]+)`", names)}
    optional = {"~/detections", "~/objects", "~/rois"}
    ours = {topic.name: topic.type for topic in (*INPUTS, *OUTPUTS, DIAGNOSTICS)}
    wanted = ours | {name: kind for name, kind, _ in SERVICES}
    wanted = {name: kind for name, kind in wanted.items() if name not in optional}
    assert set(types) == set(wanted)
    for name, kind in wanted.items():
        assert kind.rpartition("/")[2] in types[name], name


def test_readme_lists_all_commands():
    text = (ROOT / "README.md").read_text()
    assert [name for name in COMMANDS if f"| `objectomaly {name}" not in text] == []


def test_node_page_lists_the_launch_arguments():
    text = (ROOT / "docs" / "node.md").read_text()
    assert [name for name in LAUNCH["replay.launch.py"] if f"`{name}`" not in text] == []


def test_node_page_names_only_parameters_and_their_values():
    table = (ROOT / "docs" / "node.md").read_text().split("## Parameters")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert len(named) > 20
    assert named <= set(BY_NAME)
