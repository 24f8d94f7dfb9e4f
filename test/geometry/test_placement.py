import numpy as np
import pytest

from objectomaly_ros.geometry.camera_model import CameraModel
from objectomaly_ros.geometry.ground import CameraPose, ground_points
from objectomaly_ros.geometry.placement import place
from objectomaly_ros.geometry.view import View
from objectomaly_ros.obstacles.extraction import find_regions

MODEL = CameraModel(500, 500, 320, 180, 640, 360)
VIEW = View(MODEL, CameraPose(1.5).matrix())


def box(rows, columns, shape=(360, 640)):
    mask = np.zeros(shape, bool)
    mask[slice(*rows), slice(*columns)] = True
    return mask


def regions(mask):
    return find_regions(mask, mask.astype(np.float32))


def test_contact_points_have_pixels_heights_and_a_nearest_one():
    # The lowest row, 255, lies 75 px under the horizon: 10 m away. The upper border is at 204.5.
    mask = box((205, 256), (300, 341))
    mask[250:256, 330:341] = False
    (found,) = place(regions(mask), VIEW)
    assert found.points.dtype == found.heights.dtype == found.range_std.dtype == np.float32
    np.testing.assert_array_equal(found.pixels[:, 0], np.arange(300, 341))
    np.testing.assert_allclose(found.points, ground_points(found.pixels, MODEL, VIEW.transform))
    np.testing.assert_allclose(found.points[:30, 0], 10.0, rtol=1e-6)
    np.testing.assert_allclose(found.heights[:30], 1.5 - 10 * 24.5 / 500, rtol=1e-5)
    ranges = np.hypot(*found.points[:, :2].T)
    assert found.range_m == pytest.approx(ranges.min())
    nearest = found.points[ranges.argmin()]
    assert found.nearest == pytest.approx(tuple(nearest))
    assert found.nearest_std == found.range_std[ranges.argmin()]
    assert found.height == found.heights.max()


def test_each_region_has_a_placement_also_those_without_points():
    mask = box((205, 256), (300, 341)) | box((20, 60), (100, 140)) | box((200, 300), (500, 560))
    found = place(regions(mask), VIEW)
    assert [len(one.points) for one in found] == [60, 41, 0]
    assert np.isnan([found[2].range_m, found[2].nearest_std, found[2].height]).all()
    assert np.isnan(found[2].nearest).all()
    assert place([], VIEW) == []


def test_heights_are_of_the_obstacle_itself_not_of_one_above_it():
    mask = box((240, 256), (300, 341)) | box((100, 200), (300, 341))
    upper, lower = place(regions(mask), VIEW)
    assert lower.height == pytest.approx(1.5 - 10 * 59.5 / 500, rel=1e-3)
    assert upper.height == pytest.approx(1.5 + 39.47 * 80.5 / 500, rel=1e-3)


@pytest.mark.parametrize("pitch", [0.0, 0.2, 1.2, np.pi / 2])
def test_heights_stay_positive_and_finite_for_any_pitch(pitch):
    view = View(MODEL, CameraPose(1.5, pitch).matrix())
    mask = box((0, 360), (0, 640))
    (found,) = place(regions(mask), view)
    assert len(found.points)
    assert ((found.heights > 0) & (found.heights <= 20)).all()


def test_points_too_far_away_or_too_uncertain_are_left_out():
    mask = box((150, 190), (300, 341))  # the lowest row is 9 px under the horizon: 83 m away
    (found,) = place(regions(mask), VIEW)
    assert len(found.points) == 41
    (near,) = place(regions(mask), VIEW, max_range=80)
    assert not len(near.points)
    share = found.range_std / np.hypot(*found.points[:, :2].T)
    assert 0.2 < share.max() < 0.4
    (sure,) = place(regions(mask), VIEW, max_relative_error=0.2)
    assert not len(sure.points)


ODD = np.array([0, np.nan, np.inf, -np.inf, -3, 1e-30, 1e38, 4.0, 4.1, 20.0], np.float32)
LENSES = [
    ("plumb_bob", ()),
    ("plumb_bob", (-0.4, 0.1, 0.01, 0.01, 0.1)),
    ("plumb_bob", (1e8, -1e8, 1e8, 1e8)),
    ("equidistant", (-0.5, 0.3, 5.0, -9.0)),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", range(40))
def test_whatever_mask_lens_pose_and_depth_points_are_finite_and_in_range(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 90, 2))
    mask = rng.random(shape) < rng.choice([0.02, 0.3, 0.7, 1.0])
    name, lens = LENSES[seed % 4]
    focal = 10 ** rng.uniform(-3, 4)
    model = CameraModel(focal, focal, *rng.uniform(-50, 90, 2), shape[1], shape[0], lens, name)
    pose = CameraPose(rng.uniform(0.01, 3), *rng.uniform(-3.1, 3.1, 2)).matrix()
    depth = rng.choice(ODD, tuple(rng.integers(1, 120, 2)))
    found = regions(mask)
    for given in (None, depth):
        for placed, region in zip(
            place(found, View(model, pose), given, max_range=40.0), found, strict=True
        ):
            assert len(placed.points) <= len(region.contact)
            assert np.isfinite(placed.points).all()
            assert (np.hypot(*placed.points[:, :2].T) <= 40.001).all()
            assert ((placed.heights > 0) & (placed.heights <= 20)).all()
            assert (placed.range_std >= 0).all()
            assert np.isfinite(placed.range_m) == (len(placed.points) > 0)
