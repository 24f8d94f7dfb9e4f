"""The command itself: help, usage errors, exit codes."""

import subprocess
import sys

import pytest

from objectomaly_ros.cli.main import COMMANDS, main


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


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
