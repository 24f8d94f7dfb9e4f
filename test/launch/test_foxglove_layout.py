"""The Foxglove layout shows topics and fields that the node publishes, and each panel once."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config" / "foxglove.json"


@pytest.fixture(scope="module")
def layout():
    return json.loads(CONFIG.read_text())


def panels(tree):
    return [tree] if isinstance(tree, str) else [*panels(tree["first"]), *panels(tree["second"])]


def test_each_panel_is_described_and_shown_once(layout):
    assert Counter(panels(layout["layout"])) == Counter(list(layout["configById"]))


def test_every_topic_shown_is_one_of_the_nodes(layout):
    """README.md and docs/node.md list them."""
    topics = set(re.findall(r'"/objectomaly/(\w+)', CONFIG.read_text()))
    pages = (ROOT / "README.md", ROOT / "docs" / "node.md")
    listed = {name for page in pages for name in re.findall(r"`~/(\w+)`", page.read_text())}
    assert {"overlay", "score", "points", "scan", "free", "status"} == topics
    assert topics <= listed


def test_every_field_shown_is_one_of_the_messages(layout):
    fields = set(re.findall(r"/objectomaly/status\.(\w+)", CONFIG.read_text()))
    text = (ROOT / "msg" / "RefinementStatus.msg").read_text()
    assert len(fields) == 4
    assert fields <= set(re.findall(r"^\S+ (\w+)", text, re.MULTILINE))


def test_the_camera_follows_the_frame_of_the_points(layout):
    assert layout["configById"]["3D!ground"]["followTf"] == "base_link"
