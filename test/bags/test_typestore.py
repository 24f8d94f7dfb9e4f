from __future__ import annotations

import pytest

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.typestore import make_typestore, register_type, store_from_definition


def test_the_packages_own_messages_round_trip_through_cdr():
    store = make_typestore()
    types = store.types
    box = types["sensor_msgs/msg/RegionOfInterest"](
        x_offset=3, y_offset=4, height=5, width=6, do_rectify=False
    )
    corner = types["geometry_msgs/msg/Point32"](x=1.0, y=2.0, z=0.0)
    obstacle = types["objectomaly_ros/msg/Obstacle"](
        id=7,
        score=0.5,
        max_score=0.75,
        box=box,
        contour=types["geometry_msgs/msg/Polygon"](points=[corner]),
        area=30,
        age=2,
        range=12.5,
        range_std=0.25,
        height=0.5,
        position=types["geometry_msgs/msg/Point"](x=12.0, y=3.5, z=0.0),
    )
    stamp = types["builtin_interfaces/msg/Time"](sec=5, nanosec=6)
    array = types["objectomaly_ros/msg/ObstacleArray"](
        header=types["std_msgs/msg/Header"](stamp=stamp, frame_id="cam"),
        width=640,
        height=360,
        refined=True,
        obstacles=[obstacle],
    )
    name = "objectomaly_ros/msg/ObstacleArray"
    back = store.deserialize_cdr(store.serialize_cdr(array, name), name)
    assert back == array


def test_a_type_of_a_sourced_workspace_is_found_with_what_it_is_made_of(tmp_path, monkeypatch):
    folder = tmp_path / "share" / "farm_msgs" / "msg"
    folder.mkdir(parents=True)
    (folder / "Herd.msg").write_text("std_msgs/Header header\nCow[] cows\nCow[2] parents\n")
    (folder / "Cow.msg").write_text("uint8 BLACK=1\nstring name\ngeometry_msgs/Pose pose\n")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    store = make_typestore()
    register_type(store, "farm_msgs/msg/Herd")
    definition, _ = store.generate_msgdef("farm_msgs/msg/Herd", ros_version=2)
    assert "MSG: farm_msgs/Cow" in definition
    assert "MSG: geometry_msgs/Quaternion" in definition


def test_an_unknown_type_names_the_type_and_the_places_looked_at(tmp_path, monkeypatch):
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    with pytest.raises(BagError, match=r"no definition of message type moon_msgs/msg/Dust") as info:
        register_type(make_typestore(), "moon_msgs/msg/Dust")
    assert str(tmp_path) in str(info.value)
    assert "source the workspace" in str(info.value)


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        ("string[1000000000] names\n", "1000000000 fields; the limit is 2000"),
        ("farm_msgs/Cow[5000] cows\n", "5000 fields"),
        ("".join(f"int8 a{i}\n" for i in range(2001)), "2001 fields"),
        ("# " + "moo " * 100_000, r"400002 characters; the limit is 262144"),
    ],
)
def test_a_definition_that_would_take_long_to_compile_is_refused(definition, words):
    with pytest.raises(BagError, match=words):
        store_from_definition(definition, "farm_msgs/msg/Herd")


def test_long_arrays_of_numbers_are_no_effort():
    store = store_from_definition("uint8[1000000] cows\n", "farm_msgs/msg/Herd")
    message = store.deserialize_cdr(bytes([0, 1, 0, 0]) + bytes(1_000_000), "farm_msgs/msg/Herd")
    assert len(message.cows) == 1_000_000
