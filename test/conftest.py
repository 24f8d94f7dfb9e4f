"""Fixtures that every test may use."""

import os
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
