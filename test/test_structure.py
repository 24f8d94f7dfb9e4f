"""The rules of the package's structure that no type checker sees; docs/architecture.md has them."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "objectomaly_ros"

# Lowest first: a file imports from its own room and from rooms that stand before it. A room is a
# folder of the package, or a module of its root.
LAYERS = [
    "files", "types", "arrays", "models", "checkpoints", "mbp", "oasc", "obstacles", "detectors",
    "gpu", "video", "masks", "pipeline", "__init__", "geometry", "runtime", "bags", "doctor", "ros",
    "evaluation", "benchmark", "offline", "cli", "__main__", "demo",
]  # fmt: skip

ROOT_MODULES = {"__init__", "__main__", "pipeline", "oasc", "mbp", "types"}

# What DESIGN promises under a second, shorter name.
API = {
    (PACKAGE, "Objectomaly"),
    (PACKAGE, "Refinement"),
    (f"{PACKAGE}.evaluation.metrics", "pixel_metrics"),
    (f"{PACKAGE}.evaluation.metrics", "component_metrics"),
    (f"{PACKAGE}.evaluation.metrics", "instance_metrics"),
    (f"{PACKAGE}.evaluation.metrics", "temporal_consistency"),
    (f"{PACKAGE}.detectors.memory", "Memory"),
    (f"{PACKAGE}.detectors.memory", "learn"),
}

ROS_PACKAGES = {
    "rclpy", "ament_index_python", "cv_bridge", "launch", "launch_ros", "rosbag2_py",
    "rosidl_runtime_py", "tf2_ros", "bond", f"{PACKAGE}.msg",
}  # fmt: skip
ROS_ENDINGS = ("_msgs", "_msgs_py", "_interfaces", "_srvs")


class Import(NamedTuple):
    """`import module` (name is None), or `from module import name`."""

    path: Path
    line: int
    module: str
    name: str | None

    def __str__(self) -> str:
        what = f"import {self.module}"
        if self.name is not None:
            what = f"from {self.module} import {self.name}"
        return f"{self.path}:{self.line}: {what}"


def imports_of(path: Path, root: Path) -> Iterator[Import]:
    """Every import of a file, also in functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path.relative_to(root), node.lineno, alias.name, None)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                yield Import(path.relative_to(root), node.lineno, module, alias.name)


def package_imports(root: Path) -> Iterator[Import]:
    for path in sorted((root / PACKAGE).rglob("*.py")):
        yield from imports_of(path, root)


def is_ros(found: Import) -> bool:
    module = found.module
    if module == PACKAGE and found.name == "msg":
        return True
    top = module.partition(".")[0]
    if top == PACKAGE:
        return module.startswith(f"{PACKAGE}.msg")
    return top in ROS_PACKAGES or top.endswith(ROS_ENDINGS)


def room_of_file(path: Path) -> str:
    """The room of `objectomaly_ros/...`."""
    inside = path.parts[1]
    return inside.removesuffix(".py")


def room_of_target(found: Import, root: Path) -> str | None:
    """The room that is imported from; None if it is not of the package."""
    parts = found.module.split(".")
    if parts[0] != PACKAGE:
        return None
    if len(parts) > 1:
        return parts[1]
    here = root / PACKAGE / (found.name or "")
    is_room = found.name is not None and (here.is_dir() or here.with_suffix(".py").is_file())
    return found.name if is_room else "__init__"


def ros_outside_its_folder(root: Path) -> list[str]:
    return [
        str(found)
        for found in package_imports(root)
        if is_ros(found) and room_of_file(found.path) != "ros"
    ]


def arrows_up(root: Path, layers: list[str]) -> list[str]:
    """Imports of a room that does not stand before the importing file's room."""
    wrong = []
    for found in package_imports(root):
        here, there = room_of_file(found.path), room_of_target(found, root)
        if found.module.startswith("."):
            wrong.append(f"{found}: relative")
        elif there is None or there in (here, "msg"):
            continue
        elif here == "__init__":  # imports the pipeline when it is asked for it, not on loading
            if there != "pipeline":
                wrong.append(str(found))
        elif layers.index(there) > layers.index(here):
            wrong.append(str(found))
    return wrong


def names_defined_in(path: Path) -> set[str]:
    """Names that a module makes at its top level, imported ones left out."""
    names: set[str] = set()
    pending: list[ast.stmt] = list(ast.parse(path.read_text()).body)
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
        elif isinstance(node, (ast.If, ast.Try)):
            pending += [*node.body, *node.orelse, *getattr(node, "finalbody", [])]
            pending += [line for handler in getattr(node, "handlers", []) for line in handler.body]
    return names


def has_its_home_there(module: str, name: str, root: Path) -> bool:
    """Whether `from module import name` names the module where `name` is defined."""
    path = root.joinpath(*module.split("."))
    if (path / f"{name}.py").is_file() or (path / name).is_dir():
        return True
    home = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return home.is_file() and name in names_defined_in(home)


def second_homes(root: Path, folders: list[str]) -> list[str]:
    """Imports of a name from a module that has it from elsewhere."""
    found = (
        one
        for folder in folders
        for path in sorted((root / folder).rglob("*.py"))
        for one in imports_of(path, root)
    )
    return [
        str(one)
        for one in found
        if one.name is not None
        and one.module.partition(".")[0] == PACKAGE
        and not is_ros(one)
        and (one.module, one.name) not in API
        and not has_its_home_there(one.module, one.name, root)
    ]


def test_the_root_is_the_paper():
    modules = {path.stem for path in (ROOT / PACKAGE).glob("*.py")}
    assert modules == ROOT_MODULES, (
        "the root takes no new file: put it into the folder it belongs to"
    )


def test_the_layers_are_all_there_is():
    folders = {path.parent.name for path in (ROOT / PACKAGE).glob("*/__init__.py")}
    assert folders | ROOT_MODULES == set(LAYERS)
    assert len(LAYERS) == len(set(LAYERS))


def test_only_the_ros_folder_imports_ros():
    assert ros_outside_its_folder(ROOT) == []


def test_imports_run_one_way():
    assert arrows_up(ROOT, LAYERS) == []


def test_each_name_has_one_home():
    assert second_homes(ROOT, [PACKAGE, "test", "tools", "launch", "scripts"]) == []


@pytest.fixture
def tree(tmp_path):
    """A package of two rooms and a root module, with nothing wrong, and a way to add files."""

    def write(name: str, text: str) -> None:
        path = tmp_path / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    tmp_path.joinpath(PACKAGE).mkdir()
    write("__init__.py", "__version__ = '1'\n")
    write("low/__init__.py", "")
    write("low/a.py", "import numpy as np\n\nclass A:\n    pass\n")
    write("high/__init__.py", f"from {PACKAGE}.low.a import A\n\nLIMIT: int = 3\n")
    write("high/b.py", f"from {PACKAGE}.low import a\nfrom {PACKAGE} import __version__\n")
    write("ros/c.py", f"import rclpy\nfrom {PACKAGE}.high import LIMIT, b\n")
    write.root = tmp_path
    return write


ORDER = ["low", "__init__", "high", "ros"]


def test_the_checks_find_nothing_in_a_sound_tree(tree):
    assert arrows_up(tree.root, ORDER) == []
    assert ros_outside_its_folder(tree.root) == []
    assert second_homes(tree.root, [PACKAGE]) == []


@pytest.mark.parametrize(
    "line",
    [
        f"import {PACKAGE}.high.b",
        f"from {PACKAGE} import high",
        f"from {PACKAGE}.high.b import a",
        f"def late():\n    from {PACKAGE}.high import b",
        f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from {PACKAGE}.high import b",
        "from . import a",
    ],
)
def test_the_check_finds_an_arrow_up(tree, line):
    tree("low/bad.py", line + "\n")
    assert [text for text in arrows_up(tree.root, ORDER) if "low/bad.py" in text]


@pytest.mark.parametrize(
    "line",
    [
        "import rclpy.node",
        "from sensor_msgs.msg import Image",
        "def late():\n    import tf2_ros",
        f"from {PACKAGE}.msg import Obstacle",
        f"from {PACKAGE} import msg",
    ],
)
def test_the_check_finds_ros_outside_its_folder(tree, line):
    tree("high/bad.py", line + "\n")
    assert [text for text in ros_outside_its_folder(tree.root) if "high/bad.py" in text]


@pytest.mark.parametrize(
    "line",
    [
        f"from {PACKAGE}.high import A",
        f"from {PACKAGE}.low.a import np",
        f"from {PACKAGE}.high.b import a",
        f"from {PACKAGE}.nowhere import A",
    ],
)
def test_the_check_finds_a_second_home(tree, line):
    tree("ros/bad.py", line + "\n")
    assert [text for text in second_homes(tree.root, [PACKAGE]) if "ros/bad.py" in text]
