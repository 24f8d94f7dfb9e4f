"""What the documentation names is there: commands, files, links, topics and parameters."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "objectomaly_ros"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
FOLDERS = {"config", "docs", "launch", "msg", "scripts", "test", "tools"}
ROOMS = {path.name for path in PACKAGE.iterdir() if path.is_dir()}
OTHERS_MODULES = {"colcon", "pip", "pytest", "venv"}
by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def code_of(text: str) -> list[str]:
    """Code spans, and lines of code blocks without their comments."""
    blocks = [line.split(" #")[0].strip() for line in text.splitlines() if line[:4] == "    "]
    return [*re.findall(r"`([^`\n]+)`", text), *blocks]


def literals(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def first_arguments(path: Path, function: str) -> set[str]:
    """The first argument of every call of `function`."""
    return {
        node.args[0].value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == function
    }


def keys_of(path: Path, name: str) -> set[str]:
    """The keys of the dictionary that a module calls `name`."""
    for node in ast.parse(path.read_text()).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if getattr(target, "id", "") == name:
            return {key.value for key in node.value.keys}
    raise AssertionError(f"{path} has no {name}")


PARAMETERS = first_arguments(PACKAGE / "ros" / "parameters.py", "Spec")
LAUNCH_ARGUMENTS = {
    name
    for path in (ROOT / "launch").glob("*.py")
    for name in first_arguments(path, "DeclareLaunchArgument")
}
COMMANDS = keys_of(PACKAGE / "cli" / "main.py", "COMMANDS")
OUTPUTS = keys_of(PACKAGE / "ros" / "camera.py", "OUTPUTS")
NODE_SOURCE = "".join(
    (PACKAGE / "ros" / f"{name}.py").read_text() for name in ("node", "camera", "learning")
)
NODES = {path.name for path in (ROOT / "scripts" / "nodes").iterdir()}
TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def module_file(name: str) -> Path:
    path = ROOT / name.replace(".", "/")
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


def unknown_options(code: str, sources: list[Path]) -> list[str]:
    known = set().union(*map(literals, sources))
    return [option for option in re.findall(r"(?<!\S)--?[a-z][\w-]*", code) if option not in known]


def missing_in(code: str) -> list[str]:
    """What a piece of code names that is not there."""
    missing = []
    for module, rest in re.findall(r"python -m ([\w.]+)(.*)", code):
        if module in OTHERS_MODULES:
            continue
        file = module_file(module)
        missing += unknown_options(rest, [file]) if file.is_file() else [module]
    for command, rest in re.findall(r"(?<![\w/.@-])objectomaly ([a-z]+)(.*)", code):
        sources = list((PACKAGE / "cli").glob("*.py"))
        missing += unknown_options(rest, sources) if command in COMMANDS else [command]
    for node, rest in re.findall(r"\b(play_bag|record_bag)\b(.*)", code):
        found = re.search(
            r"from ([\w.]+) import main", (ROOT / f"scripts/nodes/{node}").read_text()
        )
        missing += unknown_options(rest, [module_file(found[1])])
    missing += [name for name in re.findall(r"\bros2 run objectomaly_ros (\w+)", code)
                if name not in NODES]  # fmt: skip
    missing += [name for name in re.findall(r"^(?:\w+=\w+ )?make ([a-z]+)", code)
                if name not in TARGETS]  # fmt: skip
    missing += [name for name in re.findall(r"\bros2 launch objectomaly_ros (\S+)", code)
                if not (ROOT / "launch" / name).is_file()]  # fmt: skip
    missing += [name for name in re.findall(r"(?<![\w.])([a-z]\w*):=", code)
                if name not in LAUNCH_ARGUMENTS | {"score_in"}]  # fmt: skip
    groups = "|".join({name.split(".")[0] for name in PARAMETERS if "." in name})
    missing += [name for name in re.findall(rf"(?<![\w./])(?:{groups})\.[a-z_]+(?![\w.])", code)
                if name not in PARAMETERS]  # fmt: skip
    missing += [name for name in re.findall(r"(?<!\S)[\w./-]+(?=$|\s|,)", code)
                if not is_there(name)]  # fmt: skip
    return missing


def is_there(name: str) -> bool:
    """Whether a word is no path of ours, or one of a file or folder that exists."""
    first = name.split("/")[0]
    ours = "/" in name and first in FOLDERS | ROOMS | {PACKAGE.name}
    if not ours and not re.fullmatch(r"[\w/-]+\.(py|md)", name):
        return True
    bases = (ROOT, PACKAGE, ROOT / "docs", ROOT / "launch")
    return any((base / end).exists() for base in bases for end in (name, f"{name}.py"))


@by_page
def test_what_code_names_is_there(page):
    assert [name for code in code_of(page.read_text()) for name in missing_in(code)] == []


@by_page
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    ours = [link for link in links if not link.startswith(("https://", "mailto:"))]
    assert [link for link in ours if not (page.parent / link).exists()] == []


@pytest.mark.parametrize(
    "code",
    [
        "python -m tools.benchmarks.nothing",
        "python -m tools.benchmarks.soak --nothing 3",
        "scripts/env objectomaly nothing",
        "objectomaly refine images --nothing",
        "record_bag --nothing",
        "ros2 run objectomaly_ros nothing",
        "make nothing",
        "ros2 launch objectomaly_ros nothing.launch.py",
        "ros2 launch objectomaly_ros refine.launch.py nothing:=3",
        "points.nothing",
        "refine.every_n, masks.memory_s",
        "video/nothing.py",
        "nothing.py",
        "scripts/nothing",
    ],
)
def test_the_check_finds_what_is_missing(code):
    assert len(missing_in(code)) == 1


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 160


def test_readme_lists_all_topics():
    cells = re.findall(r"^\| (`[^|]+`[^|]*) \| (?:\w+_msgs|std_srvs|objectomaly_ros)/",
                       (ROOT / "README.md").read_text(), re.MULTILINE)  # fmt: skip
    rows = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    outputs = {row.removeprefix("~/") for row in rows if row.startswith("~/")}
    assert outputs == OUTPUTS | {"refine", "learn"}
    for row in set(rows) - {f"~/{output}" for output in OUTPUTS} - {"image/compressed"}:
        assert re.search(rf'[/}}"]{re.escape(row.removeprefix("/"))}"', NODE_SOURCE), row


def test_node_page_lists_the_launch_arguments():
    text = (ROOT / "docs" / "node.md").read_text()
    assert [name for name in LAUNCH_ARGUMENTS if f"`{name}`" not in text] == []


def test_node_page_names_only_parameters_and_their_values():
    table = (ROOT / "docs" / "node.md").read_text().split("## Parameters")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert len(named) > 20
    assert named <= PARAMETERS


def test_every_measurement_has_its_command_machine_and_date():
    text = (ROOT / "docs" / "measurements.md").read_text()
    sections = [part for part in text.split("\n## ")[1:] if "|---" in part]
    assert len(sections) > 5
    for section in sections:
        title = section.splitlines()[0]
        assert re.search(r"EPYC|H100|H200", section), title
        assert re.search(r"\d{1,2} [A-Z][a-z]+ 20\d\d", section), title
        assert re.search(r"`(python -m|objectomaly|make) ", section), title
