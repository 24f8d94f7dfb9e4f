"""The command itself: help, usage errors, exit codes."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image as Pillow

from objectomaly_ros import __version__
from objectomaly_ros.cli.main import COMMANDS, main
from objectomaly_ros.detectors.score_files import read_score_map
from objectomaly_ros.runtime.environment import child_environment


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"objectomaly {__version__}\n"


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["checkpoints"], ["checkpoints", "nonsense"]])
def test_usage_errors_exit_with_2(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_it_runs_as_a_module_and_help_is_quick_to_import():
    code = (
        "import sys; from objectomaly_ros.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    done = subprocess.run(
        [sys.executable, "-m", "objectomaly_ros", "checkpoints", "list"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "sam_vit_h" in done.stdout


def test_an_interrupt_at_any_moment_ends_with_one_line_at_most(tmp_path):
    """During imports, while models load, and at work; in the workers, too, as Ctrl-C does."""
    for index in range(200):
        Pillow.new("RGB", (32, 32)).save(tmp_path / f"{index}.png")
    program = (
        "import signal, sys\nfrom objectomaly_ros.cli.main import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ours may be ignored
        "print('ready', flush=True)\nsys.exit(main())"
    )
    slow = f"offline_models:Slow,log={tmp_path / 'log'}"
    command = [sys.executable, "-c", program, "bag", str(tmp_path), "--workers", "1"]
    command += ["--detector", slow, "--masks", "none", "--out"]
    told = set()
    for delay in (0.02, 0.1, 0.3, None):
        process = subprocess.Popen(
            [*command, str(tmp_path / "out")],
            env=child_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout.readline() == "ready\n"
        if delay is None:
            while not (tmp_path / "log").exists():
                time.sleep(0.01)
        time.sleep(delay or 0.0)
        os.killpg(process.pid, signal.SIGINT)
        rest, errors = process.communicate(timeout=20)
        assert (process.returncode, rest) == (130, "")
        told.add(errors)
    known = {
        "",
        "objectomaly: interrupted\n",
        "objectomaly: interrupted; what is done is kept; the same command goes on\n",
    }
    assert told <= known
    assert errors in known - {""}


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_change_nothing(tmp_path, closed):
    source = tmp_path / "source.png"
    Pillow.fromarray(np.zeros((60, 80, 3), np.uint8)).save(source)
    command = [sys.executable, "-m", "objectomaly_ros", "refine", str(source), "--out", "out"]
    done = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", *command], cwd=tmp_path, check=False, timeout=60
    )
    assert done.returncode == 0
    assert read_score_map(tmp_path / "out" / "scores" / "source.npz").shape == (60, 80)


@pytest.mark.parametrize(
    "name", [b"\x1b]0;title\x07\x1b[2J", b"not \xff text", "\u202egnp".encode()]
)
def test_names_of_files_do_not_reach_the_terminal_unescaped(tmp_path, capfd, name):
    for folder in ("images", "labels_masks"):
        (tmp_path / "set" / folder).mkdir(parents=True)
    for number, folder in ((0, "images"), (1, "images"), (0, "labels_masks"), (1, "labels_masks")):
        path = tmp_path / "set" / folder / f"{os.fsdecode(name)}{number}.png"
        with path.open("wb") as file:
            if number:
                array = np.arange(60 * 80).reshape(60, 80) % 7 == 0
                Pillow.fromarray(array).save(file, "PNG")
    out = ["--out", str(tmp_path / "out")]
    assert main(["evaluate", str(tmp_path / "set"), *out]) == 3
    assert main(["refine", str(tmp_path / "set" / "images"), *out]) == 3
    missing = str(tmp_path / os.fsdecode(name))
    assert main(["evaluate", missing, *out]) == 1
    assert main(["checkpoints", "verify", missing]) == 1
    printed = "".join(capfd.readouterr())
    escaped = ascii(os.fsdecode(name))[1:-1]
    assert f"left out {escaped}0" in printed
    assert f"{escaped}0.png" in printed
    assert not set("\x1b\x07\u202e") & set(printed)
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "0.png: the image file is empty" in page
