"""Every tool runs as a module and as a file, and names missing data."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from objectomaly_ros import __version__
from objectomaly_ros.detectors.embedded import TORCH_WEIGHTS

ROOT = Path(__file__).resolve().parents[2]
TOOLS = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix()
    for path in ROOT.glob("tools/*/*.py")
    if '__name__ == "__main__"' in path.read_text()
)
DATA = ["tools/benchmarks/golden_errors", "tools/benchmarks/sam_options"]
DATA += [name for name in TOOLS if name.startswith(("tools/experiments", "tools/training"))]

# One process for all tools, since most of them import torch.
PROGRAM = """
import json, runpy, sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

*tools, = sys.argv[2:]
said = {}
for tool in tools:
    for form in ("module", "file"):
        arguments = json.loads(sys.argv[1])
        out, err, code = StringIO(), StringIO(), None
        path = f"{ROOT}/{tool}.py"
        sys.argv[:] = [path, *arguments]
        try:
            with redirect_stdout(out), redirect_stderr(err):
                if form == "module":
                    runpy.run_module(tool.replace("/", "."), run_name="__main__", alter_sys=True)
                else:
                    runpy.run_path(path, run_name="__main__")
        except SystemExit as stop:
            code = stop.code
        said[f"{tool} {form}"] = [code, out.getvalue() + err.getvalue()]
        sys.argv[1:] = [json.dumps(arguments), *tools]
print(json.dumps(said))
"""


def run_all(tools, *arguments, **variables):
    """Run tools in both forms; return exit code (or error message) and output by tool and form."""
    import json

    program = PROGRAM.replace("{ROOT}", str(ROOT))
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(arguments), *tools],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_tools_of_every_folder_are_found():
    folders = {name.split("/")[1] for name in TOOLS}
    assert folders == {"benchmarks", "experiments", "fuzz", "gpu", "training"}


def test_help_in_both_forms():
    for tool, (code, text) in run_all(TOOLS, "--help").items():
        assert code in (0, None), (tool, text)
        assert "usage:" in text, tool
        module = tool.split()[0].replace("/", ".").removesuffix(".__main__")
        assert f"python -m {module}" in text, f"{tool} does not say how it is run"


def test_version_in_both_forms():
    for tool, (code, text) in run_all(TOOLS, "--version").items():
        assert code == 0, (tool, text)
        assert text.endswith(f" {__version__}\n"), tool


def test_without_data_a_tool_says_which_and_where_from(tmp_path):
    for tool, (code, text) in run_all(DATA, OBJECTOMALY_SHARED=str(tmp_path)).items():
        assert isinstance(code, str), (tool, code, text)  # a message: the exit code is 1
        assert code.startswith(str(tmp_path)), (tool, code)
        assert "is missing: " in code, (tool, code)
        assert "OBJECTOMALY_SHARED" in code


def test_empty_folders_of_data_are_named_too(tmp_path):
    for folder in (
        "data/street_ood/dev/images", "data/street_ood/dev_extra/images", "data/ood_objects",
        "data/street_ood/clip_dev/images", "data/street_ood/dev_cas_espnetv2", "golden",
        "data/camvid/train/images", "data/camvid/train/labels", "data/camvid/val/images",
    ):  # fmt: skip
        (tmp_path / folder).mkdir(parents=True)
    weights = shutil.copy(TORCH_WEIGHTS, tmp_path)
    export = "tools/training/export_onnx"  # writes beside the weights
    said = run_all([export], "--checkpoint", weights, OBJECTOMALY_SHARED=str(tmp_path))
    said |= run_all([tool for tool in DATA if tool != export], OBJECTOMALY_SHARED=str(tmp_path))
    for tool, (code, text) in said.items():
        assert isinstance(code, str), (tool, code, text)
        assert code.startswith(str(tmp_path)), (tool, code)
        assert " is missing: " in code, (tool, code)


@pytest.mark.parametrize("form", [["-m", "tools.benchmarks.golden_errors"],
                                  [str(ROOT / "tools/benchmarks/golden_errors.py")]])  # fmt: skip
def test_the_process_ends_with_1_and_one_line(form, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OBJECTOMALY_SHARED": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, *form],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
