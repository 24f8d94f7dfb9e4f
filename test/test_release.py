"""What `python -m build` makes of the checkout carries all it needs."""

import email
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import objectomaly_ros

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "objectomaly_ros"
PARTS = (PACKAGE, "config", "docs", "launch", "msg", "resource", "scripts", "test")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the source archive, and the wheel that was built from it."""
    pytest.importorskip("build", reason="make env PROFILE=dev installs it")
    folder = tmp_path_factory.mktemp("release")
    source = folder / "source"
    for part in PARTS:
        shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Deprecat" not in done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def files_below(folder):
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_whole_package(wheel):
    names = set(wheel.namelist())
    assert files_below(PACKAGE) == {name for name in names if name.startswith(f"{PACKAGE}/")}
    data = f"{PACKAGE}-{objectomaly_ros.__version__}.data/data/share"
    messages = {f"{data}/{PACKAGE}/{name}" for name in files_below("msg")}
    assert messages == {name for name in names if name.endswith(".msg")}
    assert f"{data}/ament_index/resource_index/packages/{PACKAGE}" in names


def test_the_wheel_tells_version_and_licences(wheel):
    info = f"{PACKAGE}-{objectomaly_ros.__version__}.dist-info"
    metadata = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
    assert metadata["Version"] == objectomaly_ros.__version__
    assert metadata["License-Expression"].split(" AND ")[0] == "Apache-2.0"
    for path in metadata.get_all("License-File"):
        assert wheel.read(f"{info}/licenses/{path}") == (ROOT / path).read_bytes()


def test_the_source_archive_is_a_ros_package(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"CMakeLists.txt", "package.xml", "CHANGELOG.md", "LICENSE", "README.md"}
    for folder in set(PARTS) - {"test"}:
        needed |= files_below(folder)
    assert needed - names == set()
    assert [name for name in names if name.startswith("test/")] == []


def test_the_wheel_works_away_from_the_checkout(wheel, tmp_path):
    wheel.extractall(tmp_path / "site")
    program = (
        f"import {PACKAGE}, numpy\n"
        f"assert {PACKAGE}.__file__.startswith({str(tmp_path)!r}), {PACKAGE}.__file__\n"
        f"from {PACKAGE}.detectors import load_detector\n"
        "score = load_detector('embedded').score(numpy.full((48, 64, 3), 90, numpy.uint8))\n"
        "assert score.shape == (48, 64)\n"
        f"from {PACKAGE}.cli.main import main\n"
        "main(['--version'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split()[-1:] == [objectomaly_ros.__version__], done.stderr
