import numpy as np
import pytest
from ground_scenes import PINHOLE, SMALL, WIDE, project, road_under, view_of

from objectomaly_ros.geometry.beams import Beams, BeamSettings
from objectomaly_ros.geometry.camera_model import CameraModel
from objectomaly_ros.geometry.ground import CameraPose

HERE = np.eye(4)
SETTINGS = BeamSettings()


def beams_of(view, scan_from_base=HERE, settings=SETTINGS):
    return Beams(view, (view.model.height, view.model.width), scan_from_base, settings)


def at(beams, degrees):
    """Index of the beam of an angle."""
    index = round((np.radians(degrees) - beams.angle_min) / beams.increment)
    assert 0 <= index < beams.count
    return index


def row_at(distance, height=1.5, model=PINHOLE):
    """Row of the ground ahead of a level camera."""
    return round(model.cy + model.fy * height / distance)


def test_beams_cover_what_the_camera_sees():
    beams = beams_of(view_of(PINHOLE))
    half = np.arctan(320 / 500)
    assert beams.angle_min == pytest.approx(-half, abs=2 * beams.increment)
    assert beams.angles[-1] == pytest.approx(half, abs=2 * beams.increment)
    assert beams.increment == pytest.approx(SETTINGS.increment, rel=0.01)


def test_free_ground_is_free_to_range_max_and_a_bar_across_ends_it():
    view = view_of(PINHOLE)
    beams, road = beams_of(view), road_under(view)
    assert (beams.free_ranges(road)[2:-2] == 30.0).all()
    road[row_at(12.0)] = False
    found = beams.free_ranges(road)[2:-2]
    across = 12.0 / np.cos(beams.angles[2:-2])
    assert (found < across + 0.2).all()
    assert (found > across - 0.5).all()


def test_what_lies_behind_a_doubt_is_not_free():
    view = view_of(PINHOLE)
    beams, road = beams_of(view), road_under(view)
    road[row_at(8.0), 320] = False
    found = beams.free_ranges(road)
    assert found[at(beams, 0)] == pytest.approx(8.0, rel=0.02)
    assert found[at(beams, 3)] == 30.0


def test_a_doubt_at_the_lower_border_leaves_nothing():
    view = view_of(PINHOLE)
    beams, road = beams_of(view), road_under(view)
    road[-1, 300:340] = False
    assert beams.free_ranges(road)[at(beams, 0)] == 0


def test_a_bonnet_nearer_than_range_min_is_no_doubt():
    view = view_of(PINHOLE)
    road = road_under(view)
    road[row_at(5.0) :] = False
    assert not beams_of(view).free_ranges(road).any()
    beams = beams_of(view, settings=BeamSettings(range_min=5.1))
    assert beams.free_ranges(road)[at(beams, 0)] == 30.0


def test_sky_and_short_images_end_the_view_before_range_max():
    view = view_of(PINHOLE, CameraPose(1.5, 0.6))  # the upper border meets the ground at 4.9 m
    beams = beams_of(view)
    found = beams.free_ranges(np.ones((360, 640), bool))
    highest = 1.5 / np.tan(0.6 - np.arctan(180.5 / 500))
    assert found[at(beams, 0)] == pytest.approx(highest, rel=0.01)
    assert found.max() < 10


def test_limits_end_beams_and_one_before_the_first_pixel_leaves_nothing():
    view = view_of(PINHOLE)
    beams = beams_of(view)
    limits = np.full(beams.count, np.inf)
    limits[100], limits[101] = 7.0, 2.0
    found = beams.free_ranges(road_under(view), limits)
    assert (found[100], found[101], found[102]) == (7.0, 0.0, 30.0)


@pytest.mark.parametrize("model", [PINHOLE, SMALL, WIDE])
@pytest.mark.parametrize(
    ("place", "yaw"), [((0.0, 0.0), 0.0), ((1.7, 0.3), 0.4), ((-0.5, 0.0), np.pi)]
)
def test_an_origin_elsewhere_measures_from_there(model, place, yaw):
    view = view_of(model, CameraPose(1.2, 0.1, 0.05), place, yaw)
    beams = beams_of(view)
    point = np.array([*(place + 6.0 * np.array([np.cos(yaw), np.sin(yaw)])), 0.0])
    road = road_under(view)
    pixel = _pixel(point, view)
    road[pixel[1], pixel[0]] = False
    index = at(beams, np.degrees(_nearest_turn(np.arctan2(point[1], point[0]), beams)))
    found = beams.free_ranges(road)[index]
    distance = np.hypot(*point[:2])
    assert distance * 0.9 - 0.3 < found <= distance + 0.3


def test_the_scans_frame_may_stand_elsewhere():
    view = view_of(PINHOLE)
    scan_from_base = np.eye(4)  # the scan's origin is 2 m ahead of the base, turned to the left
    scan_from_base[:3, :3] = [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]
    scan_from_base[:3, 3] = -scan_from_base[:3, :3] @ [2.0, 0.0, 0.3]
    beams = beams_of(view, scan_from_base)
    road = road_under(view)
    road[row_at(12.0)] = False
    found = beams.free_ranges(road)[at(beams, -90)]
    assert found == pytest.approx(10.0, rel=0.03)


def test_a_beam_that_begins_far_outside_of_the_view_is_not_known():
    view = view_of(PINHOLE, place=(0.0, 0.0))
    aside = np.eye(4)
    aside[1, 3] = -4.0  # the origin is 4 m to the left of the camera
    beams = beams_of(view, aside)
    found = beams.free_ranges(road_under(view))
    assert found.any()
    for angle, free in zip(beams.angles, found, strict=True):
        # On the way to the view the beam crosses ground that the camera does not see.
        enters = 4.0 / (np.tan(np.arctan(320 / 500)) - np.tan(angle)) / np.cos(angle)
        if angle < 0.3 and enters > 2 * 6.3 + 1.0:
            assert free == 0


def test_the_camera_may_look_straight_down():
    view = view_of(PINHOLE, CameraPose(2.0, np.pi / 2))
    beams = beams_of(view, settings=BeamSettings(range_min=0.01, range_max=30.0))
    assert beams.count == round(2 * np.pi / SETTINGS.increment)
    found = beams.free_ranges(np.ones((360, 640), bool))
    assert found.min() == pytest.approx(0.72, rel=0.02)  # half of 360 px at a focal length of 500
    assert not beams.free_ranges(np.zeros((360, 640), bool)).any()


@pytest.mark.parametrize("below", [False, True])
def test_a_camera_that_sees_no_ground_has_no_beams(below):
    view = view_of(PINHOLE, CameraPose(1.5, -0.8))
    if below:  # by a wrong transform
        view.transform[2, 3] = -1.5
    beams = beams_of(view)
    assert beams.count == 0
    assert beams.free_ranges(np.ones((360, 640), bool)).shape == (0,)
    assert beams.nearest(np.array([[5.0, 0, 0]]), np.array([[320.0, 200]])).shape == (0,)


@pytest.mark.parametrize("shape", [(1080, 1920), (1083, 1925)])
def test_large_images_are_reduced_and_lose_no_doubt(shape):
    height, width = shape
    view = view_of(CameraModel(1500, 1500, width / 2, height / 2, width, height))
    beams, road = beams_of(view), road_under(view)
    assert len(beams._pixels) < 400_000
    assert beams.free_ranges(road)[beams.count // 2] == 30.0
    rng = np.random.default_rng(1)
    for _ in range(20):
        row = int(rng.integers(height // 2 + 100, height - 3))
        column = int(rng.integers(100, width - 100))
        spot = road.copy()
        spot[row, column] = False
        direction = view.directions([[column, row]])[0]
        ground = view.position - view.position[2] / direction[2] * direction
        index = at(beams, np.degrees(np.arctan2(ground[1], ground[0])))
        distance = np.hypot(*ground[:2])
        assert distance * 0.97 - 0.1 < beams.free_ranges(spot)[index] < distance


def test_points_are_seen_in_every_beam_that_their_pixel_crosses():
    view = view_of(SMALL)  # a pixel is wider than two beams
    beams = beams_of(view)
    pixels = np.column_stack([np.arange(20, 60), np.full(40, 40)])
    rays = view.directions(pixels)
    points = view.position - (view.position[2] / rays[:, 2])[:, None] * rays
    found = beams.nearest(points, pixels)
    angles = beams.angles
    left, right = np.arctan([(39.5 - 19.5) / 80, (40 - 59.5) / 80])
    inside = (angles < left) & (angles > right)
    assert np.isfinite(found[inside]).all()
    assert not np.isfinite(found[(angles > left + 0.03) | (angles < right - 0.03)]).any()
    np.testing.assert_allclose(found[at(beams, 0)], 1.5 * 80 / 20, rtol=0.01)


def test_the_nearest_of_several_points_counts_less_its_reduction():
    beams = beams_of(view_of(PINHOLE))
    points = np.array([[9.0, 0, 0], [6.0, 0, 0], [7.0, 0, 0]])
    pixels = np.array([[320, 263], [320, 305], [320, 287]])
    index = at(beams, 0)
    assert beams.nearest(points, pixels)[index] == 6.0
    assert beams.nearest(points, pixels, np.array([0.0, 0.5, 2.0]))[index] == 5.0
    assert beams.nearest(points, pixels, 8.0)[index] == 0.0


def test_beams_are_used_again_while_nothing_changes():
    view = view_of(PINHOLE)
    beams = beams_of(view)
    shape = (360, 640)
    assert beams.fits(view_of(PINHOLE), shape, np.eye(4), BeamSettings())
    moved = view_of(PINHOLE, place=(0.001, 0.0), yaw=1e-4)
    assert beams.fits(moved, shape, HERE, SETTINGS)
    for other in (
        (view_of(WIDE), shape, HERE, SETTINGS),
        (view_of(PINHOLE, CameraPose(1.6)), shape, HERE, SETTINGS),
        (view_of(PINHOLE, CameraPose(1.5, 0.01)), shape, HERE, SETTINGS),
        (view, (180, 320), HERE, SETTINGS),
        (view, shape, np.diag([-1.0, -1, 1, 1]), SETTINGS),
        (view, shape, HERE, BeamSettings(range_max=20.0)),
    ):
        assert not beams.fits(*other)


def _pixel(point, view):
    pixels, ahead = project(point[None], view)
    assert ahead.all()
    return np.rint(pixels[0]).astype(int)


def _nearest_turn(angle, beams):
    """Return an angle as one between the first and the last beam."""
    middle = (beams.angles[0] + beams.angles[-1]) / 2
    return angle - 2 * np.pi * round((angle - middle) / (2 * np.pi))
