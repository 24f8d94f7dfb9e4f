"""Fixtures that every test may use."""

import os
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder with goldens and street scenes; tests that need it skip without it."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("OBJECTOMALY_SHARED", default))
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder} (set OBJECTOMALY_SHARED)")
    return folder


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of 64 KiB, which is soon full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk can be mounted here: {getattr(error, 'stderr', '') or error}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
