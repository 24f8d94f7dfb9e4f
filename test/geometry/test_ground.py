import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from objectomaly_ros.geometry.camera_model import CameraModel
from objectomaly_ros.geometry.ground import (
    CameraPose,
    ground_points,
    transform_from_quaternion,
)
from objectomaly_ros.obstacles.extraction import contact_edge, find_regions

LENSES = {
    "none": ("plumb_bob", ()),
    "zeros": ("plumb_bob", (0.0, 0.0, 0.0, 0.0, 0.0)),
    "plumb_bob": ("plumb_bob", (-0.28, 0.09, 0.001, -0.0007, -0.01)),
    "rational": ("rational_polynomial", (1.2, 0.4, 0.0005, -0.0003, 0.02, 1.5, 0.7, 0.06)),
    "fisheye": ("equidistant", (0.03, -0.01, 0.004, -0.001)),
}


def camera(lens="none", **changes):
    model, coefficients = LENSES[lens]
    numbers = {"fx": 520.0, "fy": 515.0, "cx": 322.3, "cy": 181.7, "width": 640, "height": 360}
    return CameraModel(**{**numbers, **changes}, distortion=coefficients, distortion_model=model)


def project(points, model, transform):
    """Pixels of points in the base frame, by OpenCV's own projection; also the depth."""
    optical_from_base = np.linalg.inv(transform)
    optical = points @ optical_from_base[:3, :3].T + optical_from_base[:3, 3]
    matrix = np.array([[model.fx, 0, model.cx], [0, model.fy, model.cy], [0, 0, 1.0]])
    still, lens = np.zeros(3), np.array(model.distortion or (0.0, 0, 0, 0))
    if model.distortion_model == "equidistant":
        pixels, _ = cv2.fisheye.projectPoints(optical[:, None], still, still, matrix, lens)
    else:
        pixels, _ = cv2.projectPoints(optical, still, still, matrix, lens)
    return pixels.reshape(-1, 2), optical[:, 2]


def ground_grid():
    x, y = np.meshgrid(np.linspace(4, 60, 30), np.linspace(-1.2, 1.2, 13))
    return np.column_stack([x.ravel(), (y * x * 0.2).ravel(), np.zeros(x.size)])


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize(("pitch", "roll"), [(0.0, 0.0), (0.12, 0.0), (-0.02, 0.03), (0.3, -0.1)])
def test_known_ground_points_come_back(lens, pitch, roll):
    pose = CameraPose(1.5, pitch, roll)
    points = ground_grid()
    pixels, depth = project(points, camera(lens), pose.matrix())
    assert (depth > 0).all()
    found = ground_points(pixels, camera(lens), pose)
    assert found.dtype == np.float32
    assert len(found) == len(points)
    error = np.linalg.norm(found - points, axis=1) / np.linalg.norm(points, axis=1)
    assert error.max() < 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_any_transform_from_tf_gives_the_points_back(seed):
    rng = np.random.default_rng(seed)
    tilt = Rotation.from_euler("xyz", rng.uniform([-0.2, 0.0, -3.1], [0.2, 0.4, 3.1]))
    body_from_optical = Rotation.from_matrix([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    rotation = tilt * body_from_optical
    translation = rng.uniform([-2, -1, 0.8], [2, 1, 3])
    transform = transform_from_quaternion(translation, rng.uniform(0.5, 2) * rotation.as_quat())
    np.testing.assert_allclose(transform[:3, :3], rotation.as_matrix(), atol=1e-12)
    heading = np.arctan2(*(transform[:3, :3] @ [0, 0, 1])[[1, 0]])
    points = ground_grid() @ Rotation.from_euler("z", heading).as_matrix().T
    points[:, :2] += translation[:2]
    pixels, _ = project(points, camera("plumb_bob"), transform)
    found = ground_points(pixels, camera("plumb_bob"), transform)
    np.testing.assert_allclose(found, points, rtol=1e-6, atol=2e-5)


def test_the_signs_follow_rep_103():
    level, model = CameraPose(1.5), camera()
    below = [model.cx, model.cy + 52.0]  # 52 / 515 of the height's tangent
    ((x, y, z),) = ground_points([below], model, level)
    assert (x, y, z) == pytest.approx((1.5 * 515 / 52, 0, 0), abs=1e-4)
    right = ground_points([[model.cx + 100, model.cy + 52]], model, level)[0]
    assert right[1] < -1, "what is right in the image has negative y"
    down = ground_points([below], model, CameraPose(1.5, pitch=0.1))[0]
    assert down[0] < x, "positive pitch looks down, so the same pixel is nearer"
    leaning = ground_points([[model.cx - 100, model.cy + 52]], model, CameraPose(1.5, roll=0.05))
    straight = ground_points([[model.cx - 100, model.cy + 52]], model, level)
    assert leaning[0][0] > straight[0][0], "a camera leaning right has its left side raised"


def test_the_sky_and_what_is_too_far_are_dropped_and_nothing_is_nan():
    model = camera("plumb_bob")
    rows, columns = np.indices((360, 640))
    pixels = np.column_stack([columns.ravel(), rows.ravel()])
    found = ground_points(pixels, model, CameraPose(1.5), max_range=50)
    assert np.isfinite(found).all()
    assert 0 < len(found) < (rows > model.cy).sum()
    assert np.hypot(found[:, 0], found[:, 1]).max() <= 50
    assert (found[:, 0] > 0).all()
    horizon = [[320.0, model.cy], [320.0, model.cy - 30]]
    assert ground_points(horizon, camera(), CameraPose(1.5)).shape == (0, 3)
    assert ground_points(np.empty((0, 2)), model, CameraPose(1.5)).shape == (0, 3)


def test_a_lens_model_without_inverse_gives_no_points_instead_of_wrong_ones():
    folding = CameraModel(300, 300, 320, 180, 640, 360, (-0.45, 0.0, 0.0, 0.0))
    corners = [[0.0, 359.0], [639.0, 359.0]]
    rays = folding.rays(corners)
    assert np.isnan(rays[:, 0]).all()
    assert ground_points(corners, folding, CameraPose(1.5)).shape == (0, 3)


def test_only_the_contact_edge_is_projected_so_an_upright_board_stays_in_place():
    """A board 2 m high, 10 m ahead: its edge lies at 10 m, its mask would reach the horizon."""
    pose, model = CameraPose(1.5, 0.05), camera()
    corners = np.array([[10, 1, 0], [10, -1, 0], [10, -1, 2], [10, 1, 2.0]])
    pixels, _ = project(corners, model, pose.matrix())
    board = np.zeros((360, 640), np.uint8)
    cv2.fillConvexPoly(board, np.rint(pixels).astype(np.int32), 1)
    (region,) = find_regions(board > 0, board.astype(np.float32))
    np.testing.assert_array_equal(region.contact, contact_edge(board > 0))
    found = ground_points(region.contact, model, pose)
    assert found[:, 0] == pytest.approx(np.full(len(found), 10.0), rel=0.02)
    assert (found[:, 1].max(), found[:, 1].min()) == pytest.approx((1, -1), abs=0.05)


def test_a_resized_image_gives_the_same_points():
    pose = CameraPose(1.5, 0.1)
    full, half = camera("plumb_bob"), camera("plumb_bob").resized(320, 180)
    pixels, _ = project(ground_grid(), full, pose.matrix())
    shrunk = (pixels + 0.5) / 2 - 0.5
    np.testing.assert_allclose(
        ground_points(shrunk, half, pose), ground_points(pixels, full, pose), rtol=1e-5, atol=1e-5
    )


def test_camera_info_is_read_by_its_fields():
    model = CameraModel.from_camera_info(
        [520, 0, 322, 0, 515, 181, 0, 0, 1], [0.1, 0, 0, 0, 0], "plumb_bob", width=640, height=360
    )
    assert (model.fx, model.fy, model.cx, model.cy) == (520, 515, 322, 181)
    assert model.distortion == (0.1, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fx": 0.0}, "calibrat"),
        ({"cx": np.nan}, "calibrat"),
        ({"distortion": (0.1,), "distortion_model": "banana"}, "'banana' is not known"),
        ({"distortion": (0.1, 0.0), "distortion_model": "Brown Conrady"}, "'Brown Conrady' is not"),
        ({"distortion": (0.1,) * 15}, "15 coefficients; it takes at most 14"),
        ({"distortion": (0.1,) * 5, "distortion_model": "equidistant"}, "5 coefficients"),
    ],
)
def test_a_camera_that_cannot_be_is_refused(changes, message):
    numbers = {"fx": 520.0, "fy": 515.0, "cx": 322.3, "cy": 181.7, "width": 640, "height": 360}
    with pytest.raises(ValueError, match=message):
        CameraModel(**{**numbers, **changes})


@pytest.mark.parametrize(
    "model", ["none", "pinhole", "Brown Conrady", "", "plumb_bob", "equidistant", "ftheta"]
)
@pytest.mark.parametrize("count", [0, 1, 2, 4, 5, 6, 12, 40])
def test_zero_distortion_is_a_pinhole_by_any_name_and_in_any_number(model, count):
    numbers = {"fx": 520.0, "fy": 515.0, "cx": 322.3, "cy": 181.7, "width": 640, "height": 360}
    pinhole = CameraModel(**numbers)
    named = CameraModel(**numbers, distortion=(0.0,) * count, distortion_model=model)
    corners = [[0.0, 0.0], [639.0, 359.0]]
    np.testing.assert_array_equal(named.rays(corners), pinhole.rays(corners))
    assert ground_points(corners, named.resized(320, 180), CameraPose(1.5)).shape == (1, 3)


@pytest.mark.parametrize(
    ("model", "given", "filled"),
    [
        ("plumb_bob", (-0.2, 0.05), (-0.2, 0.05, 0, 0)),
        ("plumb_bob", (-0.2, 0.05, 0.001), (-0.2, 0.05, 0.001, 0)),
        ("plumb_bob", (-0.2, 0.05, 0.001, 0.002, 0.01, 0.0), (-0.2, 0.05, 0.001, 0.002, 0.01)),
        ("plumb_bob", (-0.2, 0.05, 0, 0, 0, 0.02), (-0.2, 0.05, 0, 0, 0, 0.02, 0, 0)),
        ("Plumb Bob", (-0.2, 0.05, 0, 0, 0), (-0.2, 0.05, 0, 0, 0)),
        ("equidistant", (0.03, -0.01), (0.03, -0.01, 0, 0)),
        ("equidistant", (0.03, -0.01, 0.004, -0.001, 0.0), (0.03, -0.01, 0.004, -0.001)),
    ],
)
def test_missing_coefficients_are_zero_and_zeros_too_many_do_not_count(model, given, filled):
    numbers = {"fx": 520.0, "fy": 515.0, "cx": 322.3, "cy": 181.7, "width": 640, "height": 360}
    corners = np.array([[[0.0, 0.0]], [[639.0, 359.0]]])
    matrix = np.array([[520.0, 0, 322.3], [0, 515.0, 181.7], [0, 0, 1]])
    camera = CameraModel(**numbers, distortion=given, distortion_model=model)
    solid = camera.rays(corners.reshape(-1, 2))[:, None]
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    still = np.zeros((1, 3))
    pixels, _ = project(solid, still, still, matrix, np.array(filled))
    np.testing.assert_allclose(pixels, corners, atol=1e-3)


def test_a_pose_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"height 0\.0"):
        CameraPose(0.0)
    with pytest.raises(ValueError, match="angles finite"):
        CameraPose(1.5, np.inf)
    with pytest.raises(ValueError, match="quaternion is zero"):
        transform_from_quaternion((0, 0, 1), (0, 0, 0, 0))
    with pytest.raises(ValueError, match=r"\(3, 3\)"):
        ground_points([[1, 1]], camera(), np.eye(3))
