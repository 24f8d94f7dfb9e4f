import cv2
import numpy as np
import pytest
from depth_scenes import CAMERA_HEIGHT, FOCAL, HEIGHT, PITCH, WIDTH, Scene

from objectomaly_ros.geometry.camera_model import CameraModel
from objectomaly_ros.geometry.ground import CameraPose
from objectomaly_ros.geometry.placement import place
from objectomaly_ros.geometry.view import View
from objectomaly_ros.obstacles.extraction import find_regions

MODEL = CameraModel(FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2, WIDTH, HEIGHT)
VIEW = View(MODEL, CameraPose(CAMERA_HEIGHT, PITCH).matrix())
RAMPS = {
    "up": Scene(slope=0.12),
    "down": Scene(slope=-0.08),
    "steep": Scene(slope=0.25, start=(7.0, 0.3), end=(7.0, -0.5)),
    "flat": Scene(),
    "indoors": Scene(start=(3.2, 0.5), end=(3.2, 0.1), high=0.3, back=5.0),
}
LONG = Scene(start=(4.0, 1.2), end=(14.0, -2.5))


def placed(mask, depth, **options):
    regions = find_regions(mask, mask.astype(np.float32), limit=1)
    (found,) = place(regions, VIEW, depth, **options)
    return found


def truth(scene):
    return min(np.hypot(*end) for end in (scene.start, scene.end, (scene.start[0], 0.0)))


def check(found, scene, tolerance=0.05):
    """Every point stands on the wall, and the range is right."""
    assert found.by_depth
    ranges = np.hypot(*found.points[:, :2].T)
    assert (scene.distance_from_wall(found.points[:, :2]) < tolerance * ranges).all()


@pytest.mark.parametrize("name", RAMPS)
def test_obstacles_on_ramps_and_indoors_stand_where_depth_sees_them(name):
    scene = RAMPS[name]
    depth, mask = scene.render()
    found = placed(mask, depth)
    check(found, scene, 0.02)
    assert len(found.points) >= mask.any(axis=0).sum() - 2
    assert found.nearest[2] == pytest.approx(scene.foot, abs=0.05)
    assert not found.points[:, 2].any()
    assert found.heights == pytest.approx(scene.high, abs=0.05)
    assert found.range_m == pytest.approx(np.hypot(*found.nearest[:2]))


@pytest.mark.parametrize("name", ["up", "down", "steep"])
def test_the_ground_plane_fails_on_ramps(name):
    scene = RAMPS[name]
    _, mask = scene.render()
    found = placed(mask, None)
    assert not found.by_depth
    assert not len(found.points) or abs(found.range_m / scene.start[0] - 1) > 0.2


def test_a_long_obstacle_stands_along_its_whole_length():
    depth, mask = LONG.render()
    found = placed(mask, depth)
    check(found, LONG)
    assert np.ptp(found.points[:, 0]) > 8
    assert found.range_m == pytest.approx(np.hypot(4, 1.2), rel=0.03)


@pytest.mark.parametrize("hole", [0.0, np.nan, np.inf, -np.inf, -1.0])
@pytest.mark.parametrize("scene", [RAMPS["up"], RAMPS["indoors"], LONG], ids=["up", "in", "long"])
def test_holes_are_bridged(scene, hole):
    depth, mask = scene.render()
    rng = np.random.default_rng(4)
    depth[rng.random(depth.shape) < 0.4] = hole
    columns = np.flatnonzero(mask.any(axis=0))
    third = len(columns) // 3
    depth[:, columns[third : third + third // 2]] = hole
    found = placed(mask, depth)
    check(found, scene)
    assert len(found.points) >= len(columns) - 2


@pytest.mark.parametrize("spread", [1, 2])
@pytest.mark.parametrize("name", ["up", "flat", "indoors"])
def test_flying_pixels_and_background_at_the_edges_do_not_count(name, spread):
    """Depth mixes at the edges, and the mask reaches over them."""
    scene = RAMPS[name]
    depth, mask = scene.render()
    depth = cv2.blur(depth, (2 * spread + 1, 2 * spread + 1))
    wide = cv2.dilate(mask.astype(np.uint8), np.ones((1, 2 * spread + 1))) > 0
    found = placed(wide, depth)
    assert found.by_depth
    reached = np.hypot(*found.points[:, :2].T)
    assert np.abs(found.points[:, 0] / scene.start[0] - 1).max() < 0.05
    assert reached.min() == pytest.approx(scene.start[0], rel=0.05)


@pytest.mark.parametrize("noise", [0.005, 0.02])
def test_noise_averages_out_and_shows_in_the_deviation(noise):
    scene = RAMPS["up"]
    depth, mask = scene.render()
    rng = np.random.default_rng(6)
    noisy = depth * (1 + rng.normal(0, noise, depth.shape)).astype(np.float32)
    found = placed(mask, noisy)
    check(found, scene, 0.03 + 2 * noise)
    assert found.range_m == pytest.approx(scene.start[0], rel=0.05)
    assert 0.01 * 8 <= found.nearest_std < 3 * (noise + 0.01) * 8


def test_depth_may_have_another_size_than_the_image():
    depth, mask = RAMPS["up"].render()
    for scale in (0.5, 1 / 3, 2):
        other = cv2.resize(depth, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
        check(placed(mask, other), RAMPS["up"])


def test_an_obstacle_without_depth_stands_on_the_ground_plane():
    depth, mask = RAMPS["flat"].render()
    depth[mask] = 0
    found = placed(mask, depth)
    assert not found.by_depth
    assert found.range_m == pytest.approx(8.0, rel=0.03)
    assert placed(mask, np.zeros_like(depth)).range_m == found.range_m


def test_one_obstacle_by_depth_and_one_by_the_ground_plane():
    near, far = Scene(start=(5.0, 1.6), end=(5.0, 0.8)), Scene(start=(7.0, -0.8), end=(7.0, -1.8))
    (depth, first), (_, second) = near.render(), far.render()
    depth = np.where(second, np.nan, depth).astype(np.float32)
    regions = find_regions(first | second, np.ones(first.shape, np.float32))
    found = sorted(place(regions, VIEW, depth), key=lambda one: one.range_m)
    assert [one.by_depth for one in found] == [True, False]
    assert found[0].nearest[0] == pytest.approx(5.0, rel=0.02)
    assert found[1].nearest[0] == pytest.approx(7.0, rel=0.03)


def test_depth_behind_the_range_leaves_an_obstacle_on_the_ground_plane():
    """Glass, mirrors and faults measure what is far behind: the obstacle must not vanish."""
    depth, mask = RAMPS["flat"].render()
    found = placed(mask, np.full_like(depth, 80.0), max_range=60.0)
    assert not found.by_depth
    assert found.range_m == pytest.approx(8.0, rel=0.03)


def test_the_limits_hold_for_depth_too():
    depth, mask = RAMPS["flat"].render()
    assert not len(placed(mask, depth, max_range=7.0).points)
    depth, mask = RAMPS["up"].render()
    assert not len(placed(mask, depth, max_relative_error=0.001).points)


def test_a_leaning_obstacle_is_as_near_as_its_foot():
    """A board that leans back: its foot is at 4 m, its upper end at 6 m."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[200:280, 300:360] = True
    down = (np.arange(HEIGHT) - HEIGHT / 2) / FOCAL
    depth = np.full((HEIGHT, WIDTH), 4.0, np.float32)
    depth += np.interp(np.arange(HEIGHT), [200, 280], [2.0, 0.0])[:, None].astype(np.float32)
    found = placed(mask, depth)
    foot = 4.0 * (np.cos(PITCH) - down[280] * np.sin(PITCH))
    assert found.points[:, 0].max() == pytest.approx(foot, rel=0.15)
    assert found.points[:, 0].max() < foot + 0.6


def test_depth_is_measured_along_the_axis_of_the_rectified_image():
    turn = (0.9950041652780258, 0.0, -0.09983341664682815, 0.0, 1.0, 0.0,
            0.09983341664682815, 0.0, 0.9950041652780258)  # fmt: skip
    model = CameraModel(FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2, WIDTH, HEIGHT, rotation=turn)
    view = View(model, CameraPose(1.0).matrix())
    depth, mask = np.full((HEIGHT, WIDTH), 5.0, np.float32), np.zeros((HEIGHT, WIDTH), bool)
    mask[150:250, 318:323] = True
    (found,) = place(find_regions(mask, mask.astype(np.float32)), view, depth)
    # The axis is turned by 0.1 rad to the left, in the frame of the optical axis.
    np.testing.assert_allclose(np.abs(found.points[2, :2]), [4.975, 0.499], rtol=0.01)


def test_tiny_obstacles_have_a_depth():
    depth, _ = RAMPS["flat"].render()
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[240:243, 320:322] = True
    depth[mask] = 3.0
    found = placed(mask, depth)
    assert found.by_depth
    assert found.range_m == pytest.approx(3.0, rel=0.05)
