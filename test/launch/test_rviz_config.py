"""The RViz view shows topics that the node publishes, with QoS that matches."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

CONFIG = Path(__file__).resolve().parents[2] / "config" / "objectomaly.rviz"
PUBLISHED = {"score", "mask", "overlay", "points", "free"}


@pytest.fixture(scope="module")
def manager():
    return YAML(typ="safe").load(CONFIG.read_text())["Visualization Manager"]


def test_every_topic_shown_is_one_of_the_nodes(manager):
    topics = {d["Topic"]["Value"]: d["Class"] for d in manager["Displays"] if "Topic" in d}
    assert topics == {
        "/objectomaly/overlay": "rviz_default_plugins/Image",
        "/objectomaly/score": "rviz_default_plugins/Image",
        "/objectomaly/mask": "rviz_default_plugins/Image",
        "/objectomaly/points": "rviz_default_plugins/PointCloud2",
        "/objectomaly/free": "rviz_default_plugins/PointCloud2",
    }
    assert {topic.rpartition("/")[2] for topic in topics} <= PUBLISHED


def test_the_quality_of_service_matches_the_nodes(manager):
    for display in manager["Displays"]:
        if "Topic" in display:
            assert display["Topic"]["Reliability Policy"] == "Reliable"
            assert display["Topic"]["Durability Policy"] == "Volatile"


def test_the_fixed_frame_is_that_of_the_points(manager):
    assert manager["Global Options"]["Fixed Frame"] == "base_link"


def test_people_look_at_the_overlay_and_not_at_the_mask(manager):
    enabled = {d["Topic"]["Value"]: d["Enabled"] for d in manager["Displays"] if "Topic" in d}
    assert enabled["/objectomaly/overlay"]
    assert not enabled["/objectomaly/mask"]
