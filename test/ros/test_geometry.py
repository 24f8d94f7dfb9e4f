"""Where obstacles stand; tf2_ros is on no package index, so a stand-in plays its buffer."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="CameraInfo needs rclpy: scripts/env")

from geometry_msgs.msg import TransformStamped
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from objectomaly_ros.geometry.ground import CameraPose
from objectomaly_ros.obstacles.extraction import find_regions
from objectomaly_ros.obstacles.stage import Obstacles
from objectomaly_ros.ros import poses as poses_module
from objectomaly_ros.ros.geometry import CameraGeometry
from objectomaly_ros.ros.log import ThrottledLog
from objectomaly_ros.ros.poses import PoseSource

pytestmark = pytest.mark.ros

VALUES = {
    "camera.rectified": "auto",
    "points.base_frame": "base_link",
    "points.max_range": 80.0,
    "points.max_relative_error": 0.3,
    "points.height_std": 0.03,
    "points.pitch_std": 0.005,
    "points.pixel_std": 1.0,
    "points.camera_height": 1.5,
    "points.camera_pitch": 0.05,
    "points.camera_roll": 0.0,
}
# A camera 1.2 m up that looks ahead: the optical frame in a body frame, x right, y down.
LEVEL = ((2.0, 0.3, 1.2), (-0.5, 0.5, -0.5, 0.5))


class TransformException(Exception):  # noqa: N818 -- its name in tf2_ros
    pass


class Buffer:
    """Knows the transform to one frame, at one stamp or (`latest`) only the newest."""

    def __init__(self, *, node):
        self.known = {}

    def lookup_transform(self, base, frame, time):
        key = (base, frame, time.nanoseconds)
        if key not in self.known:
            raise TransformException(f"no transform {key}")
        message = TransformStamped()
        where, turn = message.transform.translation, message.transform.rotation
        (where.x, where.y, where.z), (turn.x, turn.y, turn.z, turn.w) = self.known[key]
        return message


@pytest.fixture
def poses(monkeypatch):
    stand_in = SimpleNamespace(
        Buffer=Buffer,
        TransformListener=lambda buffer, node: None,
        TransformException=TransformException,
    )
    monkeypatch.setattr(poses_module, "tf2_ros", stand_in)
    return PoseSource(None, lambda: VALUES)


def header(seconds=12):
    result = Header(frame_id="camera_optical")
    result.stamp.sec = seconds
    return result


def info(**changes):
    fields = {"width": 640, "height": 360, "distortion_model": "plumb_bob", "d": [0.0] * 5}
    fields["k"] = [500.0, 0.0, 320.0, 0.0, 500.0, 180.0, 0.0, 0.0, 1.0]
    return CameraInfo(**(fields | changes))


def obstacles(shape=(360, 640), rows=(200, 280), columns=(300, 340)):
    mask = np.zeros(shape, bool)
    mask[slice(*rows), slice(*columns)] = True
    return Obstacles(mask, None, find_regions(mask, mask.astype(np.float32)), [1], [0])


def camera_geometry(poses, warn):
    return CameraGeometry("camera_info", poses, warn, lambda: VALUES, "/camera/image")


def placed(camera, found, header):
    """One placement for each obstacle; None if the camera knows none."""
    view = camera.view(found.mask.shape, header)
    return None if view is None else camera.place(found, view)


def test_without_tf_the_parameters_say_where_the_camera_is(monkeypatch):
    monkeypatch.setattr(poses_module, "tf2_ros", None)
    found = PoseSource(None, lambda: VALUES).pose("camera_optical", header().stamp)
    assert (found.transform == CameraPose(1.5, 0.05, 0.0).matrix()).all()
    assert "tf2_ros is not installed" in found.problem


@pytest.mark.parametrize("stamp_ns", [12 * 10**9, 0], ids=["of the image", "the latest"])
def test_tf_says_where_the_camera_is(poses, stamp_ns):
    poses._buffer.known["base_link", "camera_optical", stamp_ns] = LEVEL
    warnings = []
    camera = camera_geometry(poses, lambda *text: warnings.append(text))
    camera.take(info())
    (contact,) = placed(camera, obstacles(), header())
    # The lowest row, 279, lies 99 px under the horizon: 1.2 m of height are 500 / 99 as far away.
    x, y, z = contact.nearest
    assert x == pytest.approx(2.0 + 1.2 * 500 / 99, rel=0.01)
    assert abs(y - 0.3) < 1.2 * 20 / 99 + 0.02
    assert z == 0.0
    assert contact.range_m == pytest.approx(np.hypot(x, y), rel=1e-5)
    assert not warnings
    assert camera.origin == "TF base_link <- camera_optical"
    assert camera.blind is None


@pytest.mark.parametrize(
    ("frame", "known", "base"),
    [
        ("camera_optical", ["base_link", "base_footprint"], "base_footprint"),
        ("camera_optical", ["base_link"], "base_link"),
        ("camera_optical", [], "base_link"),
        ("blue/camera_optical", ["blue/base_link", "base_footprint"], "base_footprint"),
        ("blue/camera_optical", ["blue/base_link", "blue/base_footprint"], "blue/base_footprint"),
        ("blue/camera_optical", ["blue/base_link", "base_link"], "blue/base_link"),
    ],
)
def test_the_base_frame_is_the_best_that_tf_knows_and_the_log_tells_it_once(
    poses, frame, known, base
):
    told = []
    found = PoseSource(None, lambda: {**VALUES, "points.base_frame": "auto"}, told.append)
    for name in known:
        found._buffer.known[name, frame, 0] = LEVEL
    for _ in range(3):
        pose = found.pose(frame, header().stamp)
        assert pose.frame == base
        assert pose.origin.startswith(f"TF {base}" if known else "parameters")
    (text,) = told
    assert f"in the frame '{base}'" in text


def test_a_camera_that_tf_does_not_know_has_the_base_frame_that_it_knows(poses):
    told = []
    found = PoseSource(None, lambda: {**VALUES, "points.base_frame": "auto"}, told.append)
    found._buffer.known["base_footprint", "base_footprint", 0] = ((0, 0, 0), (0, 0, 0, 1))
    found._buffer.known["base_footprint", "front", 0] = LEVEL
    for _ in range(3):
        assert found.pose("unheard_of", header().stamp).frame == "base_footprint"
        assert found.pose("front", header().stamp).origin == "TF base_footprint <- front"
    assert len(told) == 2


def test_a_base_frame_that_tf_learns_later_is_taken_then(poses):
    told = []
    found = PoseSource(None, lambda: {**VALUES, "points.base_frame": "auto"}, told.append)
    found._buffer.known["base_link", "camera_optical", 0] = LEVEL
    assert found.pose("camera_optical", header().stamp).frame == "base_link"
    found._buffer.known["base_footprint", "camera_optical", 0] = LEVEL
    assert found.pose("camera_optical", header().stamp).frame == "base_footprint"
    assert len(told) == 2


def test_points_near_the_horizon_are_left_out_by_their_relative_error(poses):
    poses._buffer.known["base_link", "camera_optical", 0] = LEVEL
    camera = camera_geometry(poses, lambda *text: pytest.fail(str(text)))
    camera.take(info())
    (far,) = placed(camera, obstacles(rows=(150, 190)), header())  # 9 px under the horizon
    assert not len(far.points)
    (near,) = placed(camera, obstacles(rows=(150, 200)), header())
    assert len(near.points) == 40
    distance = 1.2 * 500 / 19
    pitch, pixel = 0.005 * distance**2 / 1.2, distance / 19
    assert near.nearest_std == pytest.approx(
        np.sqrt(pitch**2 + pixel**2 + (0.03 * distance / 1.2) ** 2), rel=0.02
    )


def test_an_unknown_or_empty_transform_falls_back_to_the_parameters(poses):
    stamp = header().stamp
    assert (
        poses.pose("camera_optical", stamp).transform == CameraPose(1.5, 0.05, 0.0).matrix()
    ).all()
    poses._buffer.known["base_link", "camera_optical", 0] = ((1.0, 0, 1), (0.0, 0.0, 0.0, 0.0))
    assert (
        poses.pose("camera_optical", stamp).transform == CameraPose(1.5, 0.05, 0.0).matrix()
    ).all()
    assert (poses.pose("", stamp).transform == CameraPose(1.5, 0.05, 0.0).matrix()).all()


@pytest.mark.parametrize(
    ("frame_id", "told", "origin"),
    [
        ("unheard_of", "no transform from 'unheard_of' to 'base_link'", "parameters: height 1.5"),
        ("", "the images have no frame_id", "parameters: height 1.5"),
        ("/", "the images have no frame_id", "parameters: height 1.5"),
        ("/camera_optical", "'/camera_optical' begins with a slash", "TF base_link <- camera_opt"),
    ],
)
def test_a_pose_that_tf_does_not_give_is_told_once_with_its_reason(poses, frame_id, told, origin):
    poses._buffer.known["base_link", "camera_optical", 0] = LEVEL
    warnings = []
    camera = camera_geometry(poses, lambda key, text: warnings.append(text))
    assert camera.origin == "not used: no CameraInfo on camera_info yet"
    camera.take(info())
    assert camera.origin == "not used yet"
    for seconds in (12, 13, 14):
        odd = header(seconds)
        odd.frame_id = frame_id
        (contact,) = placed(camera, obstacles(), odd)
        assert len(contact.points)
    (text,) = warnings
    assert told in text
    assert camera.origin.startswith(origin)
    placed(camera, obstacles(), header())
    placed(camera, obstacles(), odd)
    assert len(warnings) == 2  # TF was there in between


def test_each_reason_for_a_pose_of_the_parameters_is_logged_at_once(poses):
    logged = []
    log = ThrottledLog(SimpleNamespace(warning=logged.append))
    camera = camera_geometry(poses, log.warn)
    camera.take(info())
    for frame_id in ("", "unheard_of", ""):
        odd = header()
        odd.frame_id = frame_id
        placed(camera, obstacles(), odd)
    first, second = logged
    assert "no frame_id" in first
    assert "no transform from 'unheard_of'" in second


# The body frame of the same camera: x ahead, z up.
BODY = ((2.0, 0.3, 1.2), (0.0, 0.0, 0.0, 1.0))
PITCHED_BODY = ((2.0, 0.3, 1.2), (0.0, np.sin(0.3), 0.0, np.cos(0.3)))
UNDER_THE_ROAD = ((2.0, 0.3, -0.2), LEVEL[1])


@pytest.mark.parametrize("pose", [BODY, PITCHED_BODY, UNDER_THE_ROAD])
def test_a_camera_that_cannot_see_the_ground_is_told_until_it_can(poses, pose):
    poses._buffer.known["base_link", "camera_optical", 0] = pose
    warnings = []
    camera = camera_geometry(poses, lambda key, text: warnings.append(text))
    camera.take(info())
    placed(camera, obstacles(), header())
    (text,) = warnings
    assert f"the camera is {pose[0][2]:.2f} m above the ground and looks along" in text
    assert "If 'camera_optical' is a body frame (x ahead)" in text
    assert camera.blind == camera.problem == text
    poses._buffer.known["base_link", "camera_optical", 0] = LEVEL
    placed(camera, obstacles(), header())
    assert camera.blind is camera.problem is None
    assert len(warnings) == 1


def test_an_obstacle_above_the_horizon_is_no_fault_of_the_pose(poses):
    poses._buffer.known["base_link", "camera_optical", 0] = LEVEL
    camera = camera_geometry(poses, lambda *text: pytest.fail(str(text)))
    camera.take(info())
    (contact,) = placed(camera, obstacles(rows=(20, 60)), header())
    assert not len(contact.points)
    assert camera.blind is None


def test_why_there_are_no_ranges_is_told_as_long_as_there_are_none(poses):
    camera = camera_geometry(poses, lambda *text: None)
    assert camera.problem == "no CameraInfo on camera_info yet"
    camera.take(info())
    poses._buffer.known["base_link", "camera_optical", 0] = LEVEL
    placed(camera, obstacles((480, 640)), header())
    assert "images of 640 x 480 are no smaller copy" in camera.problem
    placed(camera, obstacles(), header())
    assert camera.problem is None
    camera.take(info(width=0))
    assert "the camera's driver has no calibration" in camera.problem


def test_without_camera_info_nothing_is_known(poses):
    assert placed(camera_geometry(poses, pytest.fail), obstacles(), header()) is None


def test_each_fault_of_a_camera_info_is_logged_and_shown_in_diagnostics(poses):
    logged = []
    log = ThrottledLog(SimpleNamespace(warning=logged.append))
    camera = camera_geometry(poses, log.warn)
    camera.take(CameraInfo())
    assert "0 x 0 pixels: the camera's driver has no calibration" in camera.origin
    camera.take(CameraInfo(width=640, height=360))
    assert "the camera is not calibrated" in camera.origin
    assert [text.split(":")[0] for text in logged] == ["camera_info", "camera_info"]
    stamped = info()
    stamped.header.stamp.sec = 0
    camera.take(stamped)
    assert camera.origin == "not used yet"


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"width": 0}, "0 x 360"),
        ({"k": [0.0] * 9}, "camera_info"),
        ({"k": [5e300, 0.0, 320.0, 0.0, 5e300, 180.0, 0.0, 0.0, 1.0]}, "no camera has"),
        ({"d": [float("inf")] * 5}, "no camera has"),
        ({"k": [float("nan")] * 9}, "no camera has"),
        ({"d": [0.1] * 100_000}, "100000 coefficients"),
        ({"d": [0.0] * 1_000_000}, "1000000 coefficients"),
        ({"distortion_model": "unheard_of", "d": [0.1]}, "unheard_of"),
        ({"distortion_model": "x" * 1_000_000, "d": [0.1]}, f"model '{'x' * 40}' is not known"),
        ({"k": [500.0, 0.0, 0.0, 0.0, 500.0, 0.0, 320.0, 180.0, 1.0]}, "K is fx 0 cx, 0 fy cy"),
        ({"k": [0.78, 0.0, 0.5, 0.0, 1.39, 0.5, 0.0, 0.0, 1.0]}, "0.78 for 640 pixels"),
        ({"roi": RegionOfInterest(x_offset=600, width=320, height=360)}, "outside of its 640 x"),
    ],
)
def test_a_camera_info_that_cannot_be_is_told_once(poses, bad, told):
    warnings = []
    camera = camera_geometry(poses, lambda key, text: warnings.append(text))
    camera.take(info(**bad))
    camera.take(info(**bad))
    assert len(warnings) == 1
    assert told in warnings[0]
    assert placed(camera, obstacles(), header()) is None
    camera.take(info())
    assert placed(camera, obstacles(), header()) is not None


@pytest.mark.parametrize(
    "odd",
    [
        {"width": 2**32 - 1, "height": 2**32 - 1},
        {"k": [500.0, 0.0, 320.0, 0.0, 1e-318, 180.0, 0.0, 0.0, 1.0], "width": 6400},
        {"d": [1e8] * 5},
    ],
    ids=["size", "focal length", "distortion"],
)
def test_a_camera_info_of_odd_values_costs_at_most_the_ranges(poses, odd):
    camera = camera_geometry(poses, lambda key, text: None)
    camera.take(info(**odd))
    for contact in placed(camera, obstacles(), header()) or ():
        assert np.isfinite(contact.points).all()


def test_a_stamp_before_1970_costs_the_ranges(poses):
    warnings = []
    camera = camera_geometry(poses, lambda key, text: warnings.append(text))
    camera.take(info())
    assert placed(camera, obstacles(), header(seconds=-5)) is None
    assert "camera_info and the pose give no ranges: Seconds value must not" in warnings[0]


def test_a_scaled_image_has_scaled_intrinsics(poses):
    poses._buffer.known["base_link", "camera_optical", 0] = LEVEL
    camera = camera_geometry(poses, lambda *text: pytest.fail(str(text)))
    camera.take(info())
    (large,) = placed(camera, obstacles(), header())
    (small,) = placed(camera, obstacles((180, 320), (100, 140), (150, 170)), header())
    assert small.range_m == pytest.approx(large.range_m, rel=0.03)


def ranged(poses, mask, **fields):
    """The nearest contact of an obstacle, by a CameraInfo with these fields; and the warnings."""
    poses._buffer.known["base_link", "camera_optical", 0] = LEVEL
    warnings = []
    camera = camera_geometry(poses, lambda key, text: warnings.append(text))
    camera.take(info(**fields))
    contacts = placed(camera, mask, header())
    return (contacts[0].nearest if contacts else None), warnings


def test_an_image_that_is_a_part_of_the_sensor_keeps_its_ranges(poses):
    whole, _ = ranged(poses, obstacles())
    roi = RegionOfInterest(x_offset=200, y_offset=150, width=240, height=160)
    part = obstacles((160, 240), (50, 130), (100, 140))
    assert ranged(poses, part, roi=roi) == (pytest.approx(whole, rel=1e-5), [])
    binned = obstacles((80, 120), (25, 65), (50, 70))
    found, _ = ranged(poses, binned, roi=roi, binning_x=2, binning_y=2)
    assert found == pytest.approx(whole, rel=0.03, abs=0.05)
    assert ranged(poses, obstacles(), roi=roi)[0] == pytest.approx(whole)  # not cropped after all


@pytest.mark.parametrize("scale", [1, 4], ids=["of the full image", "of the binned image"])
def test_binning_is_undone_whichever_image_k_is_of(poses, scale):
    whole, _ = ranged(poses, obstacles())
    k = np.array([500.0, 0.0, 320.0, 0.0, 500.0, 180.0, 0.0, 0.0, 1.0])
    k[:6] /= scale
    binned = obstacles((90, 160), (50, 70), (75, 85))
    found, warnings = ranged(poses, binned, k=k.tolist(), binning_x=4, binning_y=4)
    assert found == pytest.approx(whole, rel=0.05, abs=0.05)
    assert not warnings


def test_an_image_of_another_shape_than_the_calibrated_one_has_no_ranges(poses):
    found, (text,) = ranged(poses, obstacles((480, 640)))
    assert found is None
    assert "images of 640 x 480 are no smaller copy of the 640 x 360 that the camera" in text
