"""The files that people copy into the parameters of Nav2 name what the node has."""

import re
from pathlib import Path

import pytest
from nav2_models import LayerSource
from parameter_trees import flat
from ruamel.yaml import YAML

from objectomaly_ros.ros.parameters import BY_NAME, checked

CONFIG = Path(__file__).resolve().parents[2] / "config"
FILES = ("nav2_camera_only.yaml", "nav2_rgbd.yaml")
OURS = {"points": "PointCloud2", "free": "PointCloud2", "scan": "LaserScan"}
by_file = pytest.mark.parametrize("name", FILES)


def sections(name):
    tree = YAML(typ="safe").load((CONFIG / name).read_text())
    monitor = tree["collision_monitor"]["ros__parameters"]
    costmap = tree["local_costmap"]["local_costmap"]["ros__parameters"]
    return monitor, costmap, tree["objectomaly"]["ros__parameters"]


@by_file
def test_the_parameters_of_the_node_exist_and_are_allowed(name):
    _, _, ours = sections(name)
    values = dict(flat(ours))
    assert values["points.base_frame"] == "base_footprint"
    for key, value in values.items():
        assert checked(BY_NAME[key], value) == value


@by_file
def test_every_topic_of_ours_is_an_output_of_its_type(name):
    monitor, costmap, _ = sections(name)
    text = (CONFIG / name).read_text()
    assert set(re.findall(r"/objectomaly/(\w+)", text)) == {"points", "free"} <= OURS.keys()
    for source in monitor["observation_sources"]:
        assert monitor[source]["type"] == "pointcloud"
    for layer in costmap["plugins"]:
        for source in costmap[layer].get("observation_sources", "").split():
            topic = costmap[layer][source]["topic"]
            kind = OURS[topic.rpartition("/")[2]] if "objectomaly" in topic else "PointCloud2"
            assert costmap[layer][source]["data_type"] == kind


@by_file
def test_silence_stops_the_robot_and_what_is_not_seen_stays(name):
    monitor, costmap, ours = sections(name)
    assert 0 < monitor["source_timeout"] <= 2
    assert all(monitor[one].get("source_timeout", 1) for one in monitor["observation_sources"])
    assert monitor["objectomaly"]["min_height"] < 0.1 < monitor["objectomaly"]["max_height"]
    frames = {monitor["base_frame_id"], costmap["robot_base_frame"], ours["points"]["base_frame"]}
    assert frames == {"base_footprint"}
    (layer,) = [one for one in costmap["plugins"] if "objectomaly_free" in costmap[one]]
    points, free = (costmap[layer][f"objectomaly_{one}"] for one in ("points", "free"))
    for source in (points, free):
        assert 0 < source["expected_update_rate"] <= 2
        model = {k: v for k, v in source.items() if k not in ("topic", "data_type")}
        LayerSource(**model)  # has all of these options
    assert (points["marking"], points["clearing"]) == (True, False)
    assert (free["marking"], free["clearing"]) == (False, True)
    reach = max(x for x, _ in YAML(typ="safe").load(monitor["PolygonStop"]["points"]))
    assert 0 < free["raytrace_min_range"] < reach < points["obstacle_max_range"]
    assert points["obstacle_max_range"] <= free["raytrace_max_range"] <= costmap["width"] / 2
