"""Ranges by the CameraInfo and the fixed transforms of a bag."""

import json
import math
from types import SimpleNamespace

import pytest
from offline_drives import job, process
from offline_robots import make_robot

from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.offline.cameras import Cameras, Views, read_cameras


def obstacles(place, topic="/objectomaly/obstacles"):
    with Bag(place.bag) as bag:
        return [one for raw in bag.messages([topic]) for one in bag.decode(raw).obstacles]


def stream_of(place):
    return json.loads(place.summary.read_text())["streams"][0]


def test_obstacles_have_ranges_on_a_camera_with_a_fixed_place(tmp_path):
    place = process(make_robot(tmp_path / "robot"), tmp_path / "out", job())
    for one in obstacles(place):
        row = one.box.y_offset + one.box.height - 1
        expected = 0.4 + 1.5 * 80 / (row - 36)
        assert one.position.x == pytest.approx(expected, abs=0.05)
        assert one.range == pytest.approx(math.hypot(one.position.x, one.position.y), abs=1e-3)
        assert one.range_std > 0
        assert one.height > 0
    row = json.loads(place.table.read_text().splitlines()[0])
    assert row["range_m"] == pytest.approx(obstacles(place)[0].range, abs=1e-4)
    assert stream_of(place)["ranges"] == ""


@pytest.mark.parametrize(
    ("robot", "why"),
    [
        ({"sway": 0.1}, "mast moves between front and base_link"),
        ({"base": "chassis"}, "no fixed transform from 'front' to base_footprint or base_link"),
        ({"changes": True}, "the CameraInfo changes"),
        ({"turn": (0, 0, 0, 1)}, "the camera 'front' sees no ground of 'base_link'"),
    ],
)
def test_ranges_that_are_not_known_are_explained(tmp_path, robot, why):
    place = process(make_robot(tmp_path / "robot", **robot), tmp_path / "out", job())
    found = obstacles(place)
    assert found
    assert all(math.isnan(one.range) for one in found)
    assert json.loads(place.table.read_text().splitlines()[0])["range_m"] is None
    assert why in stream_of(place)["ranges"]
    with Bag(place.bag) as bag:  # an empty cloud would read as a free road
        assert not bag.count("/objectomaly/points") + bag.count("/objectomaly/scan")


def test_without_camera_info_there_is_nothing_to_explain(make_drive, tmp_path):
    place = process(make_drive(count=3), tmp_path / "out", job())
    assert stream_of(place)["ranges"] == ""


def test_each_image_topic_takes_the_info_beside_it(tmp_path):
    with Bag(make_robot(tmp_path / "robot", topics=("/front/image_raw", "/left/image_raw"))) as bag:
        found = read_cameras(
            bag, ["/front/image_raw", "/front/image_raw/compressed", "/left/image_raw"]
        )
    assert set(found.infos) == {"/front/image_raw", "/front/image_raw/compressed"}
    assert found.moving == ["base_link"]
    assert Cameras(**json.loads(json.dumps(found.as_json()))).infos == found.infos


def test_an_unusable_info_is_explained():
    info = SimpleNamespace(
        header=SimpleNamespace(frame_id="front"),
        width=0, height=0, distortion_model="", binning_x=0, binning_y=0, d=[], k=[0] * 9,
        r=[0] * 9, p=[0] * 12, roi=SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
    )  # fmt: skip
    cameras = Cameras()
    cameras.take_info("/image", info)
    views = Views(cameras, "/image")
    assert "has no calibration" in views.problem
    assert views.view("front", 72, 96) is None
