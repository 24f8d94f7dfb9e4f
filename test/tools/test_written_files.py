"""Nothing is written to a fixed name below /tmp."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    *ROOT.glob("objectomaly_ros/**/*.py"),
    *ROOT.glob("tools/**/*.py"),
    *ROOT.glob("scripts/**/*"),
]


@pytest.mark.parametrize("pattern", [r"[\"'=]/tmp\b", r"gettempdir\(\)"])
def test_no_fixed_name_below_tmp(pattern):
    found = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.is_file()
        and "__pycache__" not in path.parts
        and re.search(pattern, path.read_text())
    ]
    assert found == []
