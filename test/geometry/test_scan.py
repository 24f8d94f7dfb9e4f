import numpy as np
import pytest
from ground_scenes import PINHOLE, view_of

from objectomaly_ros.geometry.beams import Beams, BeamSettings
from objectomaly_ros.geometry.placement import Placement, place
from objectomaly_ros.geometry.scan import scan_ranges
from objectomaly_ros.obstacles.extraction import find_regions

VIEW = view_of(PINHOLE)
BEAMS = Beams(VIEW, (360, 640), np.eye(4), BeamSettings())


def placements(*boxes):
    mask = np.zeros((360, 640), bool)
    for rows, columns in boxes:
        mask[slice(*rows), slice(*columns)] = True
    return place(find_regions(mask, mask.astype(np.float32)), VIEW)


def ranges(free, found=(), **changes):
    fields = {"range_min": 0.1, "range_max": 30.0, "inf_is_valid": True} | changes
    return scan_ranges(BEAMS, free, found, **fields)


def beam(column):
    return round((np.arctan((320 - column) / 500) - BEAMS.angle_min) / BEAMS.increment)


def test_only_road_that_is_free_all_the_way_reads_as_free():
    free = np.full(BEAMS.count, 29.9)
    free[10:20], free[30] = 30.0, 0.0
    found = ranges(free)
    assert found.dtype == np.float32
    assert np.flatnonzero(found == np.inf).tolist() == list(range(10, 20))
    assert np.isnan(np.delete(found, range(10, 20))).all()
    finite = ranges(free, inf_is_valid=False)
    np.testing.assert_allclose(finite[10:20], 29.99)
    assert np.isnan(finite).sum() == np.isnan(found).sum()


def test_obstacles_have_the_range_of_their_nearest_contact_point():
    found = ranges(np.full(BEAMS.count, 30.0), placements(((205, 256), (300, 341))))
    hit = np.isfinite(found)
    assert hit[beam(339) : beam(301) + 1].all()
    assert hit.sum() == pytest.approx(41 / 500 / BEAMS.increment, abs=2)
    np.testing.assert_allclose(found[beam(320)], 10.0, rtol=1e-3)
    assert (found[~hit] == np.inf).all()


def test_without_a_road_nothing_is_free_and_obstacles_remain():
    found = ranges(None, placements(((205, 256), (300, 341))))
    assert np.isnan(found).sum() == (~np.isfinite(found)).sum() > 100
    np.testing.assert_allclose(found[beam(320)], 10.0, rtol=1e-3)


def test_an_obstacle_too_near_for_readers_is_put_at_range_min_and_a_far_one_is_left_out():
    near = ranges(None, placements(((205, 256), (300, 341))), range_min=12.0)
    assert near[beam(320)] == 12.0
    far = ranges(None, placements(((180, 196), (300, 341))))  # 48 m
    assert np.isnan(far).all()


@pytest.mark.parametrize("found", [(), (Placement(),)])
def test_obstacles_without_contact_points_are_not_in_the_scan(found):
    assert np.isnan(ranges(None, found)).all()
