"""Ranges by the CameraInfo and the fixed transforms of a bag."""

import json
import math
from types import SimpleNamespace

import pytest
from offline_drives import START, STEP, job, picture, process

from objectomaly_ros.bags.messages import camera_info_message, header, image_message
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.bags.writer import BagWriter
from objectomaly_ros.geometry.camera_model import CameraModel
from objectomaly_ros.offline.cameras import Cameras, Views, read_cameras

CAMERA = CameraModel(fx=80, fy=80, cx=48, cy=36, width=96, height=72)
OPTICAL = (-0.5, 0.5, -0.5, 0.5)  # z ahead, x to the right
TF = "tf2_msgs/msg/TFMessage"


def transform(store, parent, child, place, turn=(0, 0, 0, 1), stamp=START):
    types = store.types
    return types["geometry_msgs/msg/TransformStamped"](
        header=header(store, stamp, parent),
        child_frame_id=child,
        transform=types["geometry_msgs/msg/Transform"](
            translation=types["geometry_msgs/msg/Vector3"](**dict(zip("xyz", place, strict=True))),
            rotation=types["geometry_msgs/msg/Quaternion"](**dict(zip("xyzw", turn, strict=True))),
        ),
    )


@pytest.fixture
def make_robot(tmp_path):
    """A function that writes a bag with CameraInfo and TF; `sway` moves the camera's mast."""

    def make(name="robot", sway=0.0, base="base_link", topics=("/front/image_raw",), changes=False):
        with BagWriter(tmp_path / name) as writer:
            store = writer.store
            for topic in topics:
                writer.add_topic(topic, "sensor_msgs/msg/Image")
            writer.add_topic("/front/camera_info", "sensor_msgs/msg/CameraInfo")
            writer.add_topic("/tf_static", TF)
            writer.add_topic("/tf", TF)
            fixed = [transform(store, "mast", "front", (0.4, 0, 0.5), OPTICAL)]
            writer.write("/tf_static", store.types[TF](transforms=fixed), START)
            for index in range(4):
                stamp = START + index * STEP
                moved = (0, 0, 1 + sway * index)
                mast = transform(store, base, "mast", moved, stamp=stamp)
                odometry = transform(store, "odom", base, (index, 0, 0), stamp=stamp)
                message = store.types[TF](transforms=[mast, odometry])
                writer.write("/tf", message, stamp)
                info = camera_info_message(store, CAMERA, stamp, "front")
                if changes and index:
                    info.k = info.k * 2
                writer.write("/front/camera_info", info, stamp)
                for topic in topics:
                    image = image_message(store, picture(index), stamp, "front")
                    writer.write(topic, image, stamp)
        return tmp_path / name

    return make


def obstacles(place, topic="/objectomaly/obstacles"):
    with Bag(place.bag) as bag:
        return [one for raw in bag.messages([topic]) for one in bag.decode(raw).obstacles]


def stream_of(place):
    return json.loads(place.summary.read_text())["streams"][0]


def test_obstacles_have_ranges_on_a_camera_with_a_fixed_place(make_robot, tmp_path):
    place = process(make_robot(), tmp_path / "out", job())
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
    ],
)
def test_ranges_that_are_not_known_are_explained(make_robot, tmp_path, robot, why):
    place = process(make_robot(**robot), tmp_path / "out", job())
    found = obstacles(place)
    assert found
    assert all(math.isnan(one.range) for one in found)
    assert json.loads(place.table.read_text().splitlines()[0])["range_m"] is None
    assert why in stream_of(place)["ranges"]


def test_without_camera_info_there_is_nothing_to_explain(make_drive, tmp_path):
    place = process(make_drive(count=3), tmp_path / "out", job())
    assert stream_of(place)["ranges"] == ""


def test_each_image_topic_takes_the_info_beside_it(make_robot):
    with Bag(make_robot(topics=("/front/image_raw", "/left/image_raw"))) as bag:
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
